"""Checks of the raw data: small functions that judge what one reading of the files found."""
