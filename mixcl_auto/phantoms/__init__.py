"""Computed CT-like patients: arrays of HU and labels on any grid, from a random generator."""
