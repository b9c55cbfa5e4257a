"""The augmentation's numba kernels: pure, arrays in, arrays out, compiled at their first call and cached.

A kernel calls no function of another file: numba's cache looks at the source file of the kernel alone.
"""
