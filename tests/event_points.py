"""What TensorBoard reads from a folder of events, and what a log says it should."""

import csv
from pathlib import Path

import numpy as np

Points = dict[str, dict[int, float]]
"""By tag and step."""


def read_points(folder: Path) -> Points:
    """All points of a folder, read by TensorBoard's own reader; a step that is there twice is refused."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    everything = EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0}).Reload()
    points: Points = {}
    for tag in everything.Tags()["scalars"]:
        scalars = everything.Scalars(tag)
        points[tag] = {scalar.step: scalar.value for scalar in scalars}
        assert len(points[tag]) == len(scalars), tag
    return points


def logged_points(log: Path) -> Points:
    """Every cell of a log that is not empty, as float32."""
    points: Points = {}
    with log.open(newline="") as file:
        for row in csv.DictReader(file):
            step = int(row.pop("step"))
            for name, cell in row.items():
                if cell:
                    points.setdefault(name, {})[step] = float(np.float32(cell))
    return points
