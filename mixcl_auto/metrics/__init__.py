"""Figures of merit of label maps, their means and intervals: arrays and plain numbers in, numbers out."""
