"""Each operation of preprocessing beside the tools that others use for it, on one scan.

512 x 512 x 150 voxels to 1.5 x 1.5 x 2.0 mm; errors are measured against the phantom's formula, at where each
tool's voxels lie. The slowest peers run once.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import blosc2
import numpy as np
import SimpleITK
from numpy.typing import NDArray

from benchmarks.measure import Row, finish, parser, speed_row, time_in_turn
from benchmarks.peers import require, use_threads
from benchmarks.phantom_volumes import (
    SPACING_MM,
    TARGET_MM,
    mean_dice,
    phantom_grid,
    phantom_scan,
    rmse_hu,
    true_volume,
    write_phantom,
)
from benchmarks.preprocess_case import case_task, ours, theirs
from mixcl_auto.io.case_cache import open_case
from mixcl_auto.io.images import read_file, write_image
from mixcl_auto.phantoms.grid import Grid
from mixcl_auto.transforms.resampling import resample_image, resample_labels
from mixcl_auto.transforms.weight_map import boundary_codes, distance_to_boundary

sitk = SimpleITK
OURS = "mixcl_auto"
_PATCH, _PATCHES = 96, 50
_ONE_THREAD = {"nthreads": 1}
Array = NDArray[Any]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    options = parser(__doc__, rounds=3)
    chosen = options.parse_args(arguments)
    require("nnunetv2", "edt")
    use_threads(chosen.threads)
    image, labels = phantom_scan()
    rows = [*image_rows(image, chosen.rounds), *label_rows(labels, chosen.rounds)]
    on_target = resample_labels(labels, SPACING_MM, TARGET_MM)
    del labels
    rows += distance_rows(on_target, chosen.rounds)
    noisy, _ = phantom_scan(noise_hu=12.0)
    with TemporaryDirectory() as folder:
        rows += file_rows(Path(folder), noisy, chosen.rounds)
        del noisy
        write_phantom(Path(folder), noise_hu=12.0)
        rows += crop_rows(Path(folder), chosen.rounds)
    finish("Data path", rows, chosen.json)


def image_rows(image: NDArray[np.int16], rounds: int) -> list[Row]:
    """Cubic resampling; its error beside those of nnU-Net's default and of linear interpolation."""
    tools: dict[str, Callable[[], Array]] = {
        OURS: partial(resample_image, image, SPACING_MM, TARGET_MM),
        "nnU-Net's torch variant (linear)": partial(nnunet_torch, image, is_seg=False),
        "SimpleITK (linear)": partial(itk_resample, image, sitk.sitkLinear),
        "nnU-Net's default (order 3, z nearest)": partial(nnunet_default, image, is_seg=False),
        "scipy zoom (order 3)": partial(scipy_zoom, image),
    }
    rows = compare("image, cubic", tools, rounds, slow=list(tools)[3:])
    return rows + quality_rows("image RMSE, HU", tools, lambda array, truth: rmse_hu(array, truth[0]))


def label_rows(labels: NDArray[np.uint8], rounds: int) -> list[Row]:
    """Linear argmax of labels; its overlap with the truth beside those of others."""
    tools: dict[str, Callable[[], Array]] = {
        OURS: partial(resample_labels, labels, SPACING_MM, TARGET_MM),
        "ITK's LabelLinear": partial(itk_resample, labels, sitk.sitkLabelLinear),
        "nnU-Net's default (one-hot, order 1)": partial(nnunet_default, labels, is_seg=True),
        "nnU-Net's torch variant": partial(nnunet_torch, labels, is_seg=True),
    }
    rows = compare("labels", tools, rounds, slow=list(tools)[1:])
    return rows + quality_rows(
        "label Dice", tools, lambda array, truth: mean_dice(array.astype(int), truth[1])
    )


def distance_rows(labels: NDArray[np.uint8], rounds: int) -> list[Row]:
    """D of Eq. 7 of every voxel, the background's included."""
    tools: dict[str, Callable[[], Array]] = {
        OURS: partial(boundary_codes, labels),
        "edt": partial(distance_to_boundary, labels),
        "scipy, label by label": partial(scipy_distances, labels),
    }
    return compare("distance of Eq. 7", tools, rounds, slow=list(tools)[2:])


def file_rows(folder: Path, image: NDArray[np.int16], rounds: int) -> list[Row]:
    """gzip NIfTI with a scanner's noise, voxels in the order of the file."""
    path, written = folder / "scan.nii.gz", folder / "written.nii.gz"
    write_image(path, image, SPACING_MM)
    whole = sitk.ReadImage(str(path))
    readers = {OURS: partial(read_file, path), "SimpleITK": partial(sitk_read, path)}
    writers = {
        OURS: partial(write_image, written, image, SPACING_MM),
        "SimpleITK": partial(sitk.WriteImage, whole, str(written)),
    }
    return [*compare("gzip NIfTI read", readers, rounds), *compare("gzip NIfTI write", writers, rounds)]


def crop_rows(folder: Path, rounds: int) -> list[Row]:
    """Random patches of image and labels out of each side's cache, which the system holds in memory."""
    ours(case_task(folder))
    theirs(folder)
    case = open_case(folder / "ours" / "case")
    opened = [
        blosc2.open(str(folder / "theirs" / f"case{kind}.b2nd"), mode="r", mmap_mode="r", dparams=_ONE_THREAD)
        for kind in ("", "_seg")
    ]
    spare = np.subtract(case.shape, _PATCH)
    corners = np.random.default_rng(0).integers(0, spare, (_PATCHES, 3))

    def crop_ours() -> None:
        for corner in corners:
            case.image(corner, corner + _PATCH)
            case.labels(corner, corner + _PATCH)

    def crop_theirs() -> None:
        for x, y, z in corners.tolist():
            window = (slice(z, z + _PATCH), slice(y, y + _PATCH), slice(x, x + _PATCH))
            for array in opened:
                array[(slice(0, 1), *window)]

    sides = {OURS: crop_ours, "nnU-Net's cache": crop_theirs}
    return compare(f"{_PATCHES} crops of {_PATCH}^3, warm", sides, rounds)


def compare(
    what: str, tools: dict[str, Callable[[], object]], rounds: int, slow: Sequence[str] = ()
) -> list[Row]:
    """A row per peer; slow ones, whose time no warm-up changes, run once."""
    quick = {name: run for name, run in tools.items() if name not in slow}
    seconds = time_in_turn(quick, rounds=rounds)
    once = time_in_turn({OURS: tools[OURS], **{name: tools[name] for name in slow}}, rounds=1, warm_ups=0)
    rows = [speed_row(what, seconds, name) for name in quick if name != OURS]
    return rows + [speed_row(what, once, name) for name in slow]


def quality_rows(
    what: str, tools: dict[str, Callable[[], Array]], measure: Callable[[Array, tuple[Array, Array]], float]
) -> list[Row]:
    """Ours beside every peer, each against the truth on its own grid."""
    grid = phantom_grid()
    truth = true_volume(grid.at_spacing(TARGET_MM))
    figures = {OURS: measure(tools[OURS](), truth)}
    shape = truth[0].shape
    x, y, z = (n * s / m for n, s, m in zip(grid.shape, grid.spacing_mm, shape, strict=True))
    stretched = true_volume(Grid((shape[0], shape[1], shape[2]), (x, y, z), grid.lower_mm))
    for name in list(tools)[1:]:
        figures[name] = measure(tools[name](), truth if "ITK" in name else stretched)
    return [Row(what, f"{figures[OURS]:.4g}", f"{name}: {figures[name]:.4g}") for name in list(figures)[1:]]


def nnunet_default(array: Array, *, is_seg: bool) -> Array:
    """As its planner configures it: in-plane order 3 (labels: 1), along z nearest where slices are thick."""
    from nnunetv2.preprocessing.resampling.default_resampling import resample_data_or_seg_to_shape

    stored = array.T[None] if is_seg else array.T[None].astype(np.float32)
    done = resample_data_or_seg_to_shape(
        stored,
        target_shape()[::-1],
        SPACING_MM[::-1],
        TARGET_MM[::-1],
        is_seg=is_seg,
        order=1 if is_seg else 3,
        order_z=0,
        force_separate_z=None,
    )
    return done[0].T


def nnunet_torch(array: Array, *, is_seg: bool) -> Array:
    """nnU-Net's ``resample_torch_simple``."""
    import torch
    from nnunetv2.preprocessing.resampling.resample_torch import resample_torch_simple

    stored = np.ascontiguousarray(array.T[None], np.int16 if is_seg else np.float32)
    threads = torch.get_num_threads()
    done = resample_torch_simple(stored, target_shape()[::-1], is_seg=is_seg, num_threads=threads)
    return np.asarray(done)[0].T


def itk_resample(array: Array, interpolator: int) -> Array:
    """On our own grid."""
    image = sitk.GetImageFromArray(array.T)
    image.SetSpacing(SPACING_MM)
    origin = [(target - spacing) / 2 for target, spacing in zip(TARGET_MM, SPACING_MM, strict=True)]
    kind = sitk.sitkFloat32 if interpolator == sitk.sitkLinear else sitk.sitkUInt8
    done = sitk.Resample(
        image,
        target_shape(),
        sitk.Transform(),
        interpolator,
        origin,
        TARGET_MM,
        image.GetDirection(),
        0.0,
        kind,
        True,  # border voxels are repeated outwards
    )
    return sitk.GetArrayFromImage(done).T


def scipy_zoom(array: Array) -> Array:
    """``scipy.ndimage.zoom`` by voxel extents."""
    from scipy import ndimage

    factors = [m / n for m, n in zip(target_shape(), array.shape, strict=True)]
    stored = array.astype(np.float32)
    return ndimage.zoom(stored, factors, order=3, mode="nearest", grid_mode=True)


def scipy_distances(labels: Array) -> Array:
    """Background and every organ on the whole volume."""
    from scipy import ndimage

    distance = np.zeros(labels.shape, np.float32)
    for label in np.unique(labels):
        mask = labels == label
        distance[mask] = ndimage.distance_transform_edt(mask)[mask]
    return distance


def sitk_read(path: Path) -> Array:
    """Voxels as an array."""
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


def target_shape() -> tuple[int, int, int]:
    """Voxels of the new grid."""
    return phantom_grid().at_spacing(TARGET_MM).shape


if __name__ == "__main__":
    main()
