"""MixCL pre-training: pairs of patches from the pool, Eq. 2, the encoder file."""
