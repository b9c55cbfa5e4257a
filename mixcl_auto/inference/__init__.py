"""Scans to label maps: sliding windows, fine-tuned networks and their ensembles."""
