"""mixcl_auto: MixCL pre-training and few-label fine-tuning for CT segmentation, configured by itself.

Conventions, said once for the whole package:

- Arrays are (x, y, z) in RAS orientation after loading; tensors are (B, C, X, Y, Z).
- Voxel ``i`` of spacing ``s`` covers ``[i s, (i + 1) s)`` along its axis: resampling aligns the extents of
  the two grids, and ``n`` voxels become ``round(n s / t)`` at spacing ``t``.
- Quantities carry their unit in the name: ``spacing_mm``, ``window_hu``, ``distance_voxels``.
- Stages talk through files in the workspace, never to each other; imports only go down the layers listed in
  the README.
"""

__version__ = "0.1.0"
