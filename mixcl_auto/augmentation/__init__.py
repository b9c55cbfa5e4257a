"""Random changes of one patch: the spatial warp, intensities, turns and flips, by a passed generator."""
