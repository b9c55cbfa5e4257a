"""Fan tasks out over processes: what engines share, and the pool on this machine."""
