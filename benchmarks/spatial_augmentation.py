"""Elastic and affine deformation of a 96^3 patch with its labels and distances, all on one thread.

The region that each side reads is in memory. All draw one deformation per patch: mixcl_auto as pre-training
does, the peers with their own transforms at the same angles, scales and size of displacement. Distances are
the second channel of the peers' images. batchgeneratorsv2 interpolates labels linearly, class by class,
unless told otherwise (nnU-Net does not tell it); mixcl_auto and the others take the nearest. Freed memory is
kept, as loader workers do on a CPU.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from batchgenerators.augmentations.spatial_transformations import augment_spatial
from numpy.typing import NDArray

from benchmarks.measure import finish, parser, speed_row, time_in_turn
from benchmarks.peers import require
from benchmarks.phantom_volumes import phantom_scan
from mixcl_auto.augmentation.spatial import SpatialSettings, apply_warp, draw_warp, region_to_read
from mixcl_auto.engines.host_memory import keep_freed_memory
from mixcl_auto.transforms.weight_map import (
    decode_distance,
    distance_table,
    distance_to_boundary,
    encode_distance,
)

ANGLE, SCALE, DISPLACEMENT_VOXELS = np.deg2rad(15.0), (0.85, 1.25), 6.0
GOAL = 15.0
V2, CUBIC, LINEAR = (
    "batchgeneratorsv2, as nnU-Net uses it",
    "batchgenerators, cubic",
    "batchgenerators, linear",
)
WITH_GOAL = (V2, CUBIC, LINEAR)
Volumes = tuple[NDArray[np.int16], NDArray[np.uint8], NDArray[np.uint8]]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    options = parser(__doc__, rounds=7)
    options.add_argument("--patch", type=int, default=96, help="side in voxels")
    chosen = options.parse_args(arguments)
    require("batchgeneratorsv2", "batchgenerators", "monai")
    torch.set_num_threads(1)
    keep_freed_memory()
    patch = (chosen.patch,) * 3
    volumes = region(patch)
    seconds = time_in_turn(
        {
            "mixcl_auto": ours(volumes, patch),
            CUBIC: batchgenerators(volumes, patch, order=3),
            LINEAR: batchgenerators(volumes, patch, order=1),
            V2: batchgenerators_v2(volumes, patch, mode_seg="bilinear"),
            "batchgeneratorsv2, nearest labels": batchgenerators_v2(volumes, patch, mode_seg="nearest"),
            "MONAI": monai(volumes, patch),
        },
        rounds=chosen.rounds,
    )
    size = " x ".join(map(str, patch))
    rows = [
        speed_row(f"elastic + affine, {size}", seconds, peer, at_least=GOAL if peer in WITH_GOAL else None)
        for peer in seconds
        if peer != "mixcl_auto"
    ]
    finish("Spatial augmentation of a patch", rows, chosen.json)


def region(patch: tuple[int, int, int]) -> Volumes:
    """A region of the phantom that holds every warp of a patch: HU, labels and coded distances."""
    side = int(1.7 * patch[0]) + 16
    image, labels = phantom_scan((side, side, side), (1.5, 1.5, 2.0), noise_hu=12.0)
    return np.clip(image, -150, 250), labels, encode_distance(distance_to_boundary(labels))


def ours(volumes: Volumes, patch: tuple[int, int, int]) -> Callable[[], object]:
    """Draw a warp, cut the region that it reads and apply it, as pre-training does."""
    image, labels, codes = volumes
    generator, table = np.random.default_rng(0), distance_table()
    settings = SpatialSettings(elastic_displacement_voxels=DISPLACEMENT_VOXELS, scale=SCALE).always()
    centre = [side // 2 for side in image.shape]

    def run() -> object:
        warp = draw_warp(patch, settings, generator, spacing_mm=(1.5, 1.5, 2.0))
        first, end = region_to_read(warp, centre, image.shape)
        inside = tuple(slice(start, stop) for start, stop in zip(first, end, strict=True))
        cut = (np.ascontiguousarray(volume[inside]) for volume in (image, labels, codes))
        return apply_warp(warp, *cut, table, centre=centre, region_origin=first, padding=-150.0)

    return run


def batchgenerators(volumes: Volumes, patch: tuple[int, int, int], *, order: int) -> Callable[[], object]:
    """nnU-Net v1's transform."""
    data, labels = _channels(volumes)
    angles = (-ANGLE, ANGLE)

    def run() -> object:
        return augment_spatial(
            data[None],
            labels[None],
            patch,
            patch_center_dist_from_border=[side // 2 for side in data.shape[1:]],
            alpha=(0.0, 300.0),
            sigma=(10.0, 13.0),
            angle_x=angles,
            angle_y=angles,
            angle_z=angles,
            scale=SCALE,
            border_mode_data="constant",
            order_data=order,
            order_seg=0,
            random_crop=False,
        )

    return run


def batchgenerators_v2(
    volumes: Volumes, patch: tuple[int, int, int], *, mode_seg: str
) -> Callable[[], object]:
    """nnU-Net v2's transform."""
    from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform

    data, labels = (torch.from_numpy(volume) for volume in _channels(volumes))
    transform = SpatialTransform(
        patch,
        patch_center_dist_from_border=0,
        random_crop=False,
        p_elastic_deform=1.0,
        elastic_deform_scale=(0.1, 0.25),
        elastic_deform_magnitude=(0.0, DISPLACEMENT_VOXELS),
        p_rotation=1.0,
        rotation=(-ANGLE, ANGLE),
        p_scaling=1.0,
        scaling=SCALE,
        p_synchronize_scaling_across_axes=1.0,
        mode_seg=mode_seg,
    )
    return lambda: transform(image=data, segmentation=labels)


def monai(volumes: Volumes, patch: tuple[int, int, int]) -> Callable[[], object]:
    """MONAI's elastic transform with rotation and scale, once for the images and once for the labels."""
    from monai.transforms.spatial.dictionary import Rand3DElasticd

    data, labels = _channels(volumes)
    transform = Rand3DElasticd(
        keys=("image", "label"),
        sigma_range=(10, 13),
        magnitude_range=(0, 300),
        spatial_size=patch,
        prob=1.0,
        rotate_range=(ANGLE, ANGLE, ANGLE),
        scale_range=((SCALE[0] - 1, SCALE[1] - 1),) * 3,
        mode=("bilinear", "nearest"),
        padding_mode="zeros",
    )
    return lambda: transform({"image": torch.from_numpy(data), "label": torch.from_numpy(labels)})


def _channels(volumes: Volumes) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What peers take: HU and distances as channels of one image, and labels, both float32."""
    image, labels, codes = volumes
    return np.stack([image.astype(np.float32), decode_distance(codes)]), labels[None].astype(np.float32)


if __name__ == "__main__":
    main()
