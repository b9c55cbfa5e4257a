"""What a whole prediction holds in memory, from the scan's file to the label map's."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.measure import Row, in_new_process, limit_row
from benchmarks.phantom_volumes import ORGANS, SHAPE, phantom_scan
from mixcl_auto.inference.predictor import Predictor
from mixcl_auto.io.checkpoints import load_weights, save_weights
from mixcl_auto.io.images import read_image, write_image, write_labels
from mixcl_auto.phantoms.grid import Shape, Vector
from mixcl_auto.records.plan import FinetunePlan, Plan
from mixcl_auto.training.networks import build_network
from mixcl_auto.workflows.phantom_datasets import grid_geometry

CLASSES = len(ORGANS) + 1
_SCANS: tuple[tuple[Shape, Vector, float], ...] = (
    (SHAPE, (0.8, 0.8, 2.5), 4.0),
    ((512, 512, 1000), (0.8, 0.8, 1.0), 8.0),
)
"""Shape, spacing in mm, and the goal in GB."""


def memory_rows(folder: Path, threads: int) -> list[Row]:
    """Peaks of new processes that each segment one scan with the paper's network."""
    torch.manual_seed(0)
    weights = folder / "weights.safetensors"
    save_weights(weights, build_network(Plan().network, out_channels=CLASSES).state_dict(), {})
    return [
        _memory_row(folder, weights, threads, shape, spacing_mm, goal) for shape, spacing_mm, goal in _SCANS
    ]


def _memory_row(
    folder: Path, weights: Path, threads: int, shape: Shape, spacing_mm: Vector, goal_gb: float
) -> Row:
    scan, _ = phantom_scan(noise_hu=10.0)
    slices = np.arange(shape[2]) * scan.shape[2] // shape[2]
    path = folder / f"{shape[2]}.nii.gz"
    write_image(path, scan[:, :, slices], spacing_mm, grid_geometry(shape, spacing_mm, "LPS"))
    del scan
    _, peak = in_new_process(segment_file, path, weights, threads)
    path.unlink()
    what = f"peak memory of a process that segments {' x '.join(map(str, shape))}"
    return limit_row(what, peak, "GB", at_most=goal_gb)


def segment_file(scan: Path, weights: Path, threads: int) -> None:
    """What ``mixcl_auto predict`` does for a scan, but that the network runs for the first batch only."""
    plan = Plan(finetune=FinetunePlan(threads=threads))
    predictor = Predictor(plan, CLASSES, load_weights(weights), "cpu")
    predictor.network = _RunsOnce(predictor.network)  # type: ignore[assignment]
    volume = read_image(scan)
    labels = predictor.predict_volume(volume)
    write_labels(scan.with_name(f"labels_{scan.name}"), labels, volume.geometry)


class _RunsOnce(nn.Module):
    """A network whose first output serves for all batches after the first."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.output: Tensor | None = None

    def forward(self, batch: Tensor) -> Tensor:
        if self.output is None:
            self.output = self.network(batch)
        return self.output[: len(batch)]
