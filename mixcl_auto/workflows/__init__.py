"""Compositions of the stages, one per file; ``import mixcl_auto`` offers them as its public functions."""
