"""Channels at the chosen voxels, read from maps that a test can foretell."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mixcl_auto.errors import RunError
from mixcl_auto.io.case_cache import CaseReader
from mixcl_auto.networks.backbone import Level
from mixcl_auto.probing.features import LevelFeatures, read_features
from mixcl_auto.probing.sites import ProbedPatch, draw_patches
from mixcl_auto.progress import Silent
from mixcl_auto.records.probe import ProbeSettings
from mixcl_auto.training.patches import read_padded

GRIDS = [(32, 32, 32), (4, 4, 4)]
WINDOW = (-150.0, 250.0)

Cases = dict[int, CaseReader]


class Imitation(nn.Module):
    """Its maps are the image itself and its square, at each level's voxels."""

    patch_size = (32, 32, 32)
    levels = (Level(2, GRIDS[0]), Level(2, GRIDS[1]))

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = scale

    def encode(self, image: Tensor) -> list[Tensor]:
        fine = torch.cat([image, image * image], 1) * self.scale
        return [fine, fine[:, :, 3::8, 3::8, 3::8]]


@pytest.fixture
def patches(cases: Cases) -> list[ProbedPatch]:
    settings = ProbeSettings(patches_per_class=1)
    return draw_patches(cases, [0, 1, 2, 3], patch_size=(32, 32, 32), grids=GRIDS, settings=settings)


def read(
    patches: list[ProbedPatch], batch_size: int = 3, network: nn.Module | None = None
) -> list[LevelFeatures]:
    return read_features(
        Imitation() if network is None else network,  # type: ignore[arg-type]
        patches,
        window_steps=WINDOW,
        batch_size=batch_size,
        device=torch.device("cpu"),
        progress=Silent(),
    )


def test_rows_are_the_maps_at_the_voxels_in_their_order(patches: list[ProbedPatch]) -> None:
    for level, found in enumerate(read(patches)):
        expected = []
        for patch in patches:
            image = (patch.case.image((0, 0, 0), patch.case.shape).astype(float) + 150) / 400
            stride = 32 // GRIDS[level][0]
            places = np.stack(np.unravel_index(patch.levels[level].voxels, GRIDS[level]), 1)
            expected.append(image[tuple((places * stride + (stride - 1) // 2 + patch.lower).T)])
        assert found.rows[:, 0].numpy() == pytest.approx(np.concatenate(expected), abs=1e-6)
        assert found.rows[:, 1].numpy() == pytest.approx(np.concatenate(expected) ** 2, abs=1e-6)
        labels = np.concatenate([patch.levels[level].labels for patch in patches])
        assert found.labels.tolist() == labels.tolist()


def test_position_s_share_is_that_of_the_whole_maps(patches: list[ProbedPatch]) -> None:
    images = [
        read_padded(one.case.image, one.lower, GRIDS[0], one.case.shape, padding=-150) for one in patches
    ]
    maps = Imitation().encode(torch.from_numpy((np.stack(images)[:, None] + 150) / 400).double())
    for level, found in zip(maps, read(patches), strict=True):
        values = level.flatten(2).numpy()
        within = values.var(0, ddof=1).mean(1)
        between = np.maximum(values.mean(0).var(1, ddof=1) - within / len(patches), 0)
        assert found.position_share == pytest.approx(float(np.mean(between / (between + within))), abs=1e-5)


def test_maps_that_are_not_finite_where_nobody_looks_are_refused_too(patches: list[ProbedPatch]) -> None:
    seen = patches[0].levels[0].voxels.tolist()
    free = next(place for place in range(32**3) if place not in seen)

    class Spoilt(Imitation):
        def encode(self, image: Tensor) -> list[Tensor]:
            fine, coarse = super().encode(image)
            fine.flatten(2)[0, 0, free] = float("nan")
            return [fine, coarse]

    with pytest.raises(RunError, match="level 0 is not finite"):
        read(patches[:1], network=Spoilt())


def test_the_batch_size_changes_nothing(patches: list[ProbedPatch]) -> None:
    for one, other in zip(read(patches, 1), read(patches, 7), strict=True):
        assert torch.equal(one.rows, other.rows)


def test_rows_can_be_trained_on(patches: list[ProbedPatch]) -> None:
    assert not read(patches)[0].rows.is_inference()


def test_maps_that_are_not_finite_are_refused(patches: list[ProbedPatch]) -> None:
    with pytest.raises(RunError, match="level 0 is not finite"):
        read(patches, network=Imitation(float("inf")))
