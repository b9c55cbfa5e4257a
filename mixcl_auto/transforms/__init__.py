"""Resampling, intensity, distances to boundaries and foreground voxels: arrays in, arrays out."""
