"""The losses of MixCL, Eq. 2 to 7, on tensors and plain numbers."""
