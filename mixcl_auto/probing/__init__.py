"""Linear probes: what an encoder knows of the organs before any fine-tuning."""
