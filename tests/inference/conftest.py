"""A trained run whose network is a threshold, on two cases of odd orientation: every label map is known."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from cached_phantoms import planned_key, put_fingerprint
from torch import nn

from mixcl_auto.io.case_writer import write_case
from mixcl_auto.io.checkpoints import save_weights
from mixcl_auto.io.files import write_text
from mixcl_auto.io.images import read_image, write_image
from mixcl_auto.io.orientation import ras_shape, ras_spacing_mm
from mixcl_auto.io.workspace import Workspace
from mixcl_auto.records.case import CachedCase, Geometry
from mixcl_auto.records.plan import DatasetPlan, InferencePlan, NetworkPlan, Plan, PreprocessPlan
from mixcl_auto.records.record import content_hash
from mixcl_auto.records.run import Environment, FinetuneRun
from mixcl_auto.transforms.standardise import standardise_image

WINDOW_HU = (-150.0, 250.0)
GEOMETRIES = {
    "case_lps": Geometry(
        size=(34, 30, 17),
        spacing_mm=(1.0, 1.2, 2.5),
        origin_mm=(-20.0, 5.0, 100.0),
        direction=(1, 0, 0, 0, 1, 0, 0, 0, 1),
        orientation="LPS",
    ),
    "case_pir": Geometry(
        size=(40, 26, 30),
        spacing_mm=(1.1, 1.6, 1.3),
        origin_mm=(7.0, 0.0, -3.0),
        direction=(0, 0, -1, 1, 0, 0, 0, -1, 0),
        orientation="PIR",
    ),
}


class Threshold(nn.Module):
    """Class 1 where the image is above ``level``."""

    def __init__(self):
        super().__init__()
        self.level = nn.Parameter(torch.zeros(()))
        self.calls = 0

    def forward(self, image):
        self.calls += 1
        return torch.cat([self.level - image, image - self.level], dim=1) * 10


def ellipsoid_hu(geometry):
    """An organ of 150 HU off the centre, in a body of 0 HU in air; RAS, with the organ's mask."""
    shape, spacing = ras_shape(geometry), ras_spacing_mm(geometry)
    extent = np.multiply(shape, spacing)
    grid = [
        ((np.arange(n) + 0.5) * s).reshape([-1 if a == i else 1 for a in range(3)])
        for i, (n, s) in enumerate(zip(shape, spacing, strict=True))
    ]
    distance = sum(
        ((x - c * e) / (0.27 * e)) ** 2 for x, c, e in zip(grid, (0.42, 0.55, 0.6), extent, strict=True)
    )
    body = sum(((x - 0.5 * e) / (0.48 * e)) ** 2 for x, e in zip(grid, extent, strict=True))
    image = np.full(shape, -1000, np.int16)
    image[body < 1] = 0
    image[distance < 1] = 150
    return image, distance < 1


@pytest.fixture
def scan_hu():
    """``ellipsoid_hu``, for tests that write scans of their own."""
    return ellipsoid_hu


@pytest.fixture
def plan():
    dataset = DatasetPlan(
        name="Target",
        role="target",
        labels={"organ": 1},
        cases=tuple(GEOMETRIES),
        fingerprint="0" * 12,
        split="0" * 12,
    )
    return Plan(
        preprocess=PreprocessPlan(spacing_mm=(1.5, 1.5, 2.0), window_hu=WINDOW_HU),
        network=NetworkPlan(
            patch_size=(16, 16, 16), feature_size=4, hidden_size=24, mlp_size=48, heads=2, layers=4
        ),
        datasets=(dataset,),
        inference=InferencePlan(windows_per_batch=4),
    )


@pytest.fixture
def write_run():
    """Write a run with a threshold (a share of the window) as its weights."""

    def write(workspace, plan, *, fold=0, level=0.5625, status="trained"):
        folder = workspace.finetune("plan", "Target", "scratch", 1.0, fold, 0)
        run = FinetuneRun(
            dataset="Target",
            init="scratch",
            fraction=1.0,
            fold=fold,
            seed=0,
            plan=plan,
            status=status,
            environment=Environment(
                mixcl_auto="0", torch="0", python="3", device="cpu", precision="fp32", threads=1
            ),
            weights=None,
            training_cases=(),
            held_out_cases=tuple(GEOMETRIES),
            parameters=1,
            iterations=1,
        )
        write_text(folder.run, run.to_json())
        save_weights(folder.weights, {"level": torch.tensor(level)}, {})
        return folder

    return write


@pytest.fixture
def threshold_run(tmp_path, monkeypatch, plan, write_run):
    """Workspace, scans, organ masks (RAS) and run folder; ``networks`` lists every network built."""
    networks = []

    def build(_, *, out_channels):
        assert out_channels == 2
        networks.append(Threshold())
        return networks[-1]

    monkeypatch.setattr("mixcl_auto.inference.predictor.build_network", build)
    workspace = Workspace(tmp_path)
    dataset = plan.datasets[0]
    fingerprint = put_fingerprint(workspace, dataset.name, dataset.cases)
    plan = plan.model_copy(update={"datasets": (dataset.model_copy(update={"fingerprint": fingerprint}),)})
    images, masks = {}, {}
    for case, geometry in GEOMETRIES.items():
        image, masks[case] = ellipsoid_hu(geometry)
        images[case] = tmp_path / "scans" / f"{case}_0000.nii.gz"
        write_image(images[case], image, ras_spacing_mm(geometry), geometry)
        write_cached(workspace, plan, case, images[case])
    return SimpleNamespace(
        workspace=workspace,
        plan=plan,
        folder=write_run(workspace, plan),
        images=images,
        masks=masks,
        networks=networks,
        scans=tmp_path / "scans",
    )


def write_cached(workspace, plan, case, path):
    volume = read_image(path)
    recipe = plan.preprocess
    image = standardise_image(volume.array, volume.spacing_mm, recipe.spacing_mm, recipe.window_hu, 1.0)
    record = CachedCase(
        id=case,
        key=planned_key(case, content_hash(recipe)),
        patient=case,
        shape=image.shape,
        spacing_mm=recipe.spacing_mm,
        source=volume.geometry,
        label_voxels={},
    )
    blank = np.zeros(image.shape, np.uint8)
    write_case(
        workspace.cached_case("Target", content_hash(recipe), case),
        record,
        image=image,
        labels=blank,
        distance=blank,
        foreground={},
    )
