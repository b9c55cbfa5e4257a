"""Every planned case onto the plan's grid, into the cache."""
