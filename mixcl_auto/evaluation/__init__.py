"""Predictions against references, case by case and organ by organ."""
