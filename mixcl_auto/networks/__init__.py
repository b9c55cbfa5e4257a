"""Backbones, projectors, the MixCL network, and what their weights start from."""
