"""Compositions of the stages, one per file; ``import mixcl_auto`` offers them as the public Python interface."""
