"""How much of a level's map is said by where in the patch a voxel lies, whatever the patch shows.

``python docs/evidence/position_share.py WORKSPACE PLAN [NAME ...]`` draws six random patches from each of
twelve scans of each pool dataset and prints, for an untrained encoder and each pre-training, the share of
every level's variance that lies between positions: 0 if a map depends on the image alone, 1 if all patches
give the same map. Between-position variance is corrected for the number of patches.
"""

import math
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mixcl_auto.finetuning.initial_weights import find_init, load_init
from mixcl_auto.io.plans import read_plan
from mixcl_auto.io.workspace import Workspace
from mixcl_auto.networks.initialise import initialise
from mixcl_auto.records.plan import Plan
from mixcl_auto.training.cases import open_cases
from mixcl_auto.training.networks import IMAGE_CHANNELS, build_network
from mixcl_auto.training.patches import random_lower, read_padded
from mixcl_auto.transforms.intensity import to_unit_range

SCANS, PATCHES = 12, 6
"""Of a dataset; of a scan."""


def draw_patches(workspace: Workspace, plan: Plan) -> Tensor:
    """Random patches of the pool, (N, 1, X, Y, Z), in the encoder's [0, 1]."""
    generator = np.random.default_rng(0)
    size, window = plan.network.patch_size, plan.preprocess.window_steps
    patches = []
    for dataset in plan.datasets:
        if dataset.role != "pretrain":
            continue
        for case in open_cases(workspace, plan, dataset.name, dataset.cases[:SCANS]):
            for _ in range(PATCHES):
                lower = random_lower(case.shape, size, generator)
                patches.append(
                    read_padded(case.image, lower, size, case.shape, padding=math.floor(window[0]))
                )
    return torch.from_numpy(to_unit_range(np.stack(patches), window))[:, None]


def position_share(maps: Tensor) -> float:
    """Variance between positions over all variance, averaged over the channels of (N, C, X, Y, Z)."""
    within = maps.var(0).mean((1, 2, 3))
    between = maps.mean(0).flatten(1).var(1) - within / len(maps)
    between = between.clamp(min=0)
    return float((between / (between + within).clamp(min=1e-12)).mean())


def main() -> None:
    """Print a row for each encoder."""
    workspace, plan_file, names = Workspace(Path(sys.argv[1])), Path(sys.argv[2]), sys.argv[3:]
    plan = read_plan(workspace.plan(plan_file.stem))
    patches = draw_patches(workspace, plan)
    print(f"{len(patches)} patches; position's share of the image: {position_share(patches):.3f}")
    for name in ["scratch", *names]:
        network = initialise(lambda: build_network(plan.network, out_channels=IMAGE_CHANNELS), 0)
        load_init(network, find_init(workspace, plan_file.stem, name), plan)
        with torch.no_grad():
            encoded = [network.encode(batch) for batch in patches.split(8)]
        shares = [position_share(torch.cat(maps)) for maps in zip(*encoded, strict=True)]
        print(f"{name:20s}", *(f"{share:.3f}" for share in shares))


if __name__ == "__main__":
    main()
