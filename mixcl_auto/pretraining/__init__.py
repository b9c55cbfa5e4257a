"""Pre-training, by MixCL or supervised: pairs of patches from the pool, losses, the encoder file."""
