"""The loop that both trainers share: seeded samples, optimiser, log, checkpoints, resuming."""
