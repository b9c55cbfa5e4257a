"""Fingerprints, the planner's rules, folds: from raw data to a plan that explains itself."""
