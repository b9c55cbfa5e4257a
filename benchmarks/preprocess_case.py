"""One scan from its files into the cache, against nnU-Net v2's default preprocessor on the same files.

Both read gzip NIfTI, resample to 1.5 x 1.5 x 2.0 mm, clip, draw labelled voxels and write a compressed
cache; mixcl_auto alone also measures the distances of Eq. 7 and hashes the files. Each runs as its own
workers do, in a process of its own. Errors are measured within the window against the phantom's formula, at
where each side's voxels lie.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.measure import Row, finish, in_new_process, parser, speed_row, time_in_turn_apart
from benchmarks.nnunet_case import WINDOW_HU, preprocess_with_nnunet, read_nnunet_case
from benchmarks.peers import require, use_threads
from benchmarks.phantom_volumes import (
    ORGANS,
    SHAPE,
    TARGET_MM,
    mean_dice,
    phantom_grid,
    rmse_hu,
    true_volume,
    write_phantom,
)
from mixcl_auto.engines.host_memory import keep_freed_memory
from mixcl_auto.io.case_cache import open_case
from mixcl_auto.io.case_files import image_sha256, label_sha256
from mixcl_auto.phantoms.grid import Grid
from mixcl_auto.preprocessing.preprocess import CaseTask, preprocess_case
from mixcl_auto.records.case import RawCase
from mixcl_auto.records.plan import PreprocessPlan

NNUNET = "nnU-Net v2"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    options = parser(__doc__, rounds=3)
    options.add_argument("--shape", type=int, nargs=3, default=SHAPE, help="voxels of the scan")
    options.add_argument("--noise-hu", type=float, default=12.0, help="of the timed scan; errors: without")
    chosen = options.parse_args(arguments)
    require("nnunetv2")
    use_threads(chosen.threads)
    with TemporaryDirectory() as folder:
        noisy, clean = Path(folder) / "noisy", Path(folder) / "clean"
        write_phantom(noisy, tuple(chosen.shape), noise_hu=chosen.noise_hu)
        write_phantom(clean, tuple(chosen.shape))
        rows = [*cost_rows(noisy, chosen.rounds), *quality_rows(clean, phantom_grid(tuple(chosen.shape)))]
    finish("One case, read to written", rows, chosen.json)


def cost_rows(folder: Path, rounds: int) -> list[Row]:
    """Time, in turn, and peak memory, each side in a process of its own; size on disk."""
    task = case_task(folder)
    sides = {"mixcl_auto": partial(ours, task), NNUNET: partial(theirs, folder)}
    seconds = time_in_turn_apart(sides, rounds=rounds, starts={"mixcl_auto": keep_freed_memory})
    _, our_gb = in_new_process(ours, task, start=keep_freed_memory)
    _, their_gb = in_new_process(theirs, folder)
    our_mb, their_mb = (_megabytes(folder / side) for side in ("ours", "theirs"))
    return [
        speed_row("time", seconds, NNUNET, at_least=12),
        Row(
            "peak memory",
            f"{our_gb:.2f} GB",
            f"{NNUNET}: {their_gb:.2f} GB",
            f"{our_gb / their_gb:.2f} of it",
        ),
        Row("on disk", f"{our_mb:.1f} MB", f"{NNUNET}: {their_mb:.1f} MB", f"{our_mb / their_mb:.2f} of it"),
    ]


def quality_rows(folder: Path, grid: Grid) -> list[Row]:
    """Image error and label overlap against the truth."""
    ours(case_task(folder))
    theirs(folder)
    case = open_case(folder / "ours" / "case")
    whole = (0, 0, 0), case.shape
    image, labels = case.image(*whole).astype(np.float32), case.labels(*whole)
    their_image, their_labels = read_nnunet_case(folder / "theirs" / "case")
    truth_hu, truth = true_volume(grid.at_spacing(TARGET_MM))
    their_truth_hu, their_truth = true_volume(_same_extent(grid, their_image.shape))
    error, their_error = (
        rmse_hu(values, np.clip(true, *WINDOW_HU))
        for values, true in ((image, truth_hu), (their_image, their_truth_hu))
    )
    dice, their_dice = mean_dice(labels, truth), mean_dice(their_labels, their_truth)
    return [
        Row(
            "image RMSE",
            f"{error:.2f} HU",
            f"{NNUNET}: {their_error:.2f} HU",
            f"{error / their_error:.2f} of it",
            "lower",
            error < their_error,
        ),
        Row(
            "label Dice",
            f"{dice:.4f}",
            f"{NNUNET}: {their_dice:.4f}",
            f"1 - Dice {(1 - dice) / (1 - their_dice):.2f} of it",
            "higher",
            dice > their_dice,
        ),
    ]


def case_task(folder: Path, case: str = "case") -> CaseTask:
    """The task of the phantom in a folder, to be cached below it."""
    raw = RawCase(
        id=case, patient=case, image=folder / "phantom_0000.nii.gz", label=folder / "phantom.nii.gz"
    )
    hashes = image_sha256(raw), label_sha256(raw)
    return CaseTask(
        dataset="phantoms",
        case=raw,
        classes=len(ORGANS) + 1,
        preprocess=PreprocessPlan(spacing_mm=TARGET_MM, window_hu=WINDOW_HU),
        image_hash=hashes[0] or "",
        label_hash=hashes[1] or "",
        folder=folder / "ours" / case,
    )


def ours(task: CaseTask) -> None:
    """Preprocess, whether or not it was done before."""
    (task.folder / "case.json").unlink(missing_ok=True)
    preprocess_case(task)


def theirs(folder: Path) -> None:
    """The same with nnU-Net."""
    image, labels = folder / "phantom_0000.nii.gz", folder / "phantom.nii.gz"
    preprocess_with_nnunet(image, labels, folder / "theirs" / "case")


def _same_extent(grid: Grid, shape: tuple[int, ...]) -> Grid:
    """nnU-Net stretches its voxels a little, so that they fill the scan's extent exactly."""
    x, y, z = (n * s / m for n, s, m in zip(grid.shape, grid.spacing_mm, shape, strict=True))
    return Grid((shape[0], shape[1], shape[2]), (x, y, z), grid.lower_mm)


def _megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


if __name__ == "__main__":
    main()
