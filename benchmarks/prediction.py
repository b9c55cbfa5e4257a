"""Prediction of a 512 x 512 x 150 scan with 14 classes: what it costs beside the network, and its parts.

Overhead is all of ``predict_volume`` but the network. The network (the paper's, 92.8 M parameters) is timed
on two batches of windows in every round and scaled to all windows; everything else is timed with logits that
are there already, in the type and memory order of that network's, of the phantom's own organs. Joined are
bfloat16 channels-last windows, as that network gives them, and for peers also the form that suits them best:
channels first, float32 (MONAI) and half precision (nnU-Net). They hold zeros, since nnU-Net weighs them in
place. nnU-Net's export is timed once, on 2 of the 14 classes, which it resamples one after the other.
"""

import itertools
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.measure import Row, duration, finish, limit_row, parser, speed_row, time_in_turn
from benchmarks.peers import require, use_threads
from benchmarks.phantom_volumes import SHAPE, SPACING_MM, TARGET_MM, phantom_grid, phantom_scan, true_volume
from benchmarks.prediction_memory import CLASSES, memory_rows
from benchmarks.prediction_peers import Repeating, export_with_nnunet, join_with_monai, nnunet_predictor
from mixcl_auto.inference.predictor import Predictor, to_source_grid
from mixcl_auto.inference.sliding_window import predict_logits
from mixcl_auto.inference.windows import Index, lay_out_windows
from mixcl_auto.io.images import Volume
from mixcl_auto.records.plan import FinetunePlan, Plan
from mixcl_auto.training.device import autocast, limited_threads
from mixcl_auto.training.networks import build_network
from mixcl_auto.transforms.intensity import to_unit_range
from mixcl_auto.transforms.label_upsampling import argmax_classes
from mixcl_auto.transforms.standardise import standardise_image
from mixcl_auto.workflows.phantom_datasets import grid_geometry

CPU = torch.device("cpu")
GEOMETRY = grid_geometry(SHAPE, SPACING_MM, "LPS")
_SIDE, _BATCH = 96, 2
_TIMED_CLASSES = 2
"""Of nnU-Net's export."""


class Precomputed:
    """In a network's place: windows of known logits (classes, X, Y, Z), in the order they are asked for."""

    def __init__(self, logits: Tensor, starts: Sequence[Index], side: int) -> None:
        self._logits, self._side = logits, side
        self._starts = itertools.cycle(starts)

    def __call__(self, batch: Tensor) -> list[Tensor]:
        side = self._side
        return [
            self._logits[:, x : x + side, y : y + side, z : z + side]
            for x, y, z in itertools.islice(self._starts, len(batch))
        ]


def overhead_row(logits: NDArray[np.float32], rounds: int, threads: int) -> Row:
    """All of ``predict_volume`` but the network, as a share of the network's time."""
    plan = Plan(finetune=FinetunePlan(threads=threads))
    torch.manual_seed(0)
    weights = build_network(plan.network, out_channels=CLASSES).state_dict()
    predictor = Predictor(plan, CLASSES, weights, CPU)
    volume = Volume(phantom_scan(noise_hu=10.0)[0], SPACING_MM, GEOMETRY)
    side, size = plan.network.patch_size[0], plan.inference.windows_per_batch
    windows = _windows_seen(volume, plan)
    batches = torch.stack([window for _, window in windows[: 2 * size]]).unsqueeze(1).split(size)
    network = predictor.network

    def forward() -> Tensor:
        with torch.inference_mode(), limited_threads(threads), autocast(CPU, predictor.precision):
            return [network(batch) for batch in batches][-1]

    stub = Precomputed(_as_from(forward(), logits), [start for start, _ in windows], side)

    def all_else() -> None:
        predictor.network = stub  # type: ignore[assignment]
        predictor.predict_volume(volume)

    seconds = time_in_turn({"forward": forward, "all else": all_else}, rounds=rounds)
    scale = len(windows) / (2 * size)
    share = statistics.median(
        rest / (scale * part) for rest, part in zip(seconds["all else"], seconds["forward"], strict=True)
    )
    of_all = duration(scale * statistics.median(seconds["forward"]))
    return Row(
        "prediction but for the forward passes",
        duration(statistics.median(seconds["all else"])),
        f"{len(windows)} forward passes in {predictor.precision}: {of_all} ({2 * size} timed)",
        f"{100 * share:.1f} % of them",
        "at most 5 %",
        share <= 0.05,
    )


def _windows_seen(volume: Volume, plan: Plan) -> list[tuple[Index, Tensor]]:
    """The windows that the network sees: those with a body, then one of those without."""
    recipe, side = plan.preprocess, plan.network.patch_size
    image = standardise_image(volume.array, SPACING_MM, recipe.spacing_mm, recipe.window_hu, 1.0)
    unit = torch.from_numpy(to_unit_range(image, recipe.window_steps))
    windows = [
        (start, unit[tuple(slice(first, first + n) for first, n in zip(start, side, strict=True))])
        for start in lay_out_windows(image.shape, side, plan.inference.overlap).starts
    ]
    air = [window for window in windows if not window[1].any()]
    return [window for window in windows if window[1].any()] + air[:1]


def _as_from(output: Tensor, logits: NDArray[np.float32]) -> Tensor:
    """Logits in the type and memory order that a network's output (B, classes, x, y, z) has."""
    order = torch.channels_last_3d if output.stride(1) == 1 else torch.contiguous_format
    return torch.from_numpy(logits)[None].to(output.dtype).contiguous(memory_format=order)[0]


def export_rows(logits: NDArray[np.float32], rounds: int, threads: int) -> list[Row]:
    """Logits on the plan's grid to labels on the scan's, of organs and, the worst case, of noise."""
    part_zyx = np.ascontiguousarray(logits[:_TIMED_CLASSES].transpose(0, 3, 2, 1))

    def with_nnunet() -> None:
        export_with_nnunet(part_zyx, SHAPE[::-1], TARGET_MM[::-1], SPACING_MM[::-1])

    ours = statistics.median(_export_seconds(logits, rounds, threads))
    once = time_in_turn({"nnU-Net": with_nnunet}, rounds=1, warm_ups=0)["nnU-Net"][0]
    theirs = once * CLASSES / _TIMED_CLASSES
    what, goal = "logits to labels on the scan's grid", 1.5
    row = limit_row(what, ours, "s", at_most=goal, peer=f"nnU-Net: {duration(theirs)}")
    noise = np.random.default_rng(0).standard_normal((*logits.shape[1:], CLASSES), dtype=np.float32)
    worst = statistics.median(_export_seconds(np.moveaxis(noise, -1, 0), rounds, threads))
    return [
        Row(row.what, row.ours, row.peer, f"{theirs / ours:.3g} times faster", row.goal, row.met),
        limit_row("the same of noise, where no two voxels agree", worst, "s", at_most=goal),
    ]


def _export_seconds(logits: NDArray[np.float32], rounds: int, threads: int) -> list[float]:
    def ours() -> None:
        to_source_grid(logits, TARGET_MM, GEOMETRY, threads)

    return time_in_turn({"ours": ours}, rounds=rounds)["ours"]


def joining_rows(shape: Sequence[int], rounds: int) -> list[Row]:
    """Overlapping windows to logits, with networks that take no time."""
    image = np.random.default_rng(0).random(shape, dtype=np.float32)
    plain = torch.zeros(_BATCH, CLASSES, _SIDE, _SIDE, _SIDE)
    as_ours = plain.bfloat16().contiguous(memory_format=torch.channels_last_3d)
    count = len(lay_out_windows(shape, (_SIDE,) * 3, 0.5).starts)
    same = time_in_turn(_joiners(image, as_ours, as_ours, as_ours), rounds=1, warm_ups=0)
    own = time_in_turn(_joiners(image, as_ours, plain, plain.half()), rounds=rounds)
    return [
        speed_row(f"joining {count} windows{form}", seconds, peer)
        for form, seconds in ((", all the same", same), (", each its own form", own))
        for peer in ("MONAI", "nnU-Net")
    ]


def _joiners(
    image: NDArray[np.float32], ours: Tensor, monai: Tensor, nnunet: Tensor
) -> dict[str, Callable[[], object]]:
    """What joins windows, with the batch of windows that each gets."""
    predictor = nnunet_predictor(Repeating(nnunet), _SIDE, CLASSES)
    return {
        "mixcl_auto": lambda: predict_logits(
            Repeating(ours),
            image,
            patch_size=(_SIDE, _SIDE, _SIDE),
            overlap=0.5,
            windows_per_batch=_BATCH,
            device=CPU,
        ),
        "MONAI": lambda: join_with_monai(image, Repeating(monai), _SIDE, _BATCH),
        "nnU-Net": lambda: predictor.predict_sliding_window_return_logits(torch.from_numpy(image)[None]),
    }


def argmax_rows(rounds: int, threads: int) -> list[Row]:
    """The class of the largest of 14 scores."""
    scores = np.random.default_rng(0).standard_normal((CLASSES, 150, 250, 250), dtype=np.float32)
    tensor = torch.from_numpy(scores)
    candidates: dict[str, Callable[[], object]] = {
        "mixcl_auto": lambda: argmax_classes(scores, threads=threads),
        "torch.max": lambda: tensor.max(0),
        "torch.argmax": lambda: tensor.argmax(0),
        "numpy": lambda: scores.argmax(0),
    }
    seconds = time_in_turn(candidates, rounds=rounds)
    what = f"argmax of {' x '.join(map(str, scores.shape))}"
    return [speed_row(what, seconds, peer) for peer in candidates if peer != "mixcl_auto"]


def organ_logits() -> NDArray[np.float32]:
    """The phantom's organs as channels-last logits (classes, X, Y, Z) on the plan's grid."""
    _, labels = true_volume(phantom_grid().at_spacing(TARGET_MM))
    return np.moveaxis(np.eye(CLASSES, dtype=np.float32)[labels] * 8, -1, 0)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    options = parser(__doc__, rounds=3).parse_args(arguments)
    require("nnunetv2")
    use_threads(options.threads)
    threads = torch.get_num_threads()
    rows = argmax_rows(options.rounds, threads)
    logits = organ_logits()
    rows += joining_rows(logits.shape[1:], options.rounds)
    rows += export_rows(logits, options.rounds, threads)
    rows.append(overhead_row(logits, options.rounds, threads))
    del logits
    with TemporaryDirectory() as folder:
        rows += memory_rows(Path(folder), threads)
    finish(f"Prediction, {CLASSES} classes, {threads} threads", rows, options.json)


if __name__ == "__main__":
    main()
