"""Several processes that train one network: who they are, sums over them, how they start and end."""
