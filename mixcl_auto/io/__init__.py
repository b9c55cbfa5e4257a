"""Files: the workspace's paths, images, raw datasets, the cache, checkpoints."""
