"""``--spacing auto`` on mixed pools, by hand and on files."""

from pathlib import Path

import pytest

from mixcl_auto.io.inspection import inspect_datasets
from mixcl_auto.io.raw_dataset import find_dataset
from mixcl_auto.io.workspace import Workspace
from mixcl_auto.planning.fingerprint import summarise
from mixcl_auto.planning.rules import choose_spacing
from mixcl_auto.workflows.phantom_datasets import PhantomDataset, write_phantom_datasets


def auto(make, *groups):
    """The spacing for datasets that are lists of (x, y, z) in mm."""
    data = [
        make.fingerprint([make.case(f"{n}", spacing_mm=mm) for n, mm in enumerate(group)]) for group in groups
    ]
    return choose_spacing((1.5, 1.5, 2.0), "auto", data)


def test_cases_count_alike_whatever_their_dataset(make):
    """0.7 x3 and 0.9 x2 along x: the median of 0.7, 0.7, 0.7, 0.9, 0.9 is 0.7; of 1, 1, 1, 5, 5 it is 1."""
    assert auto(make, [(0.7, 0.7, 1.0)] * 3, [(0.9, 0.9, 5.0)] * 2).value == (0.7, 0.7, 1.0)


def test_mostly_thick_slices_take_the_thin_ones_10th_percentile(make):
    """z: 1 and nine times 5, the median 5 is above 3 x 0.8; numpy's 10th percentile is at position 0.9 of
    1, 5, 5, ...: 1 + 0.9 x 4 = 4.6."""
    choice = auto(make, [(0.8, 0.8, 1.0)], [(0.8, 0.8, 5.0)] * 9)
    assert choice.value == (0.8, 0.8, 4.6)
    assert "z is anisotropic (5.00 mm): its 10th percentile" in choice.reason


def test_half_thin_slices_give_a_median_between(make):
    """z: 1, 1, 5, 5: the median 3 is above 3 x 0.9; the 10th percentile is 1."""
    assert auto(make, [(0.9, 0.9, 1.0)] * 2, [(0.9, 0.9, 5.0)] * 2).value == (0.9, 0.9, 1.0)


def test_the_anisotropic_axis_gets_no_finer_than_the_others(make):
    """z: 0.5, 0.5, 6 x4: the 10th percentile is 0.5, the other axes' 0.9 is the limit."""
    assert auto(make, [(0.9, 0.9, 0.5)] * 2 + [(0.9, 0.9, 6.0)] * 4).value == (0.9, 0.9, 0.9)


def test_thick_slices_alike_stay_as_thick(make):
    assert auto(make, [(0.8, 0.8, 5.0)] * 7).value == (0.8, 0.8, 5.0)


def test_sagittal_scans_count_by_their_axes_in_the_body(tmp_path: Path) -> None:
    """Files stored along other axes: what is thick is z of the body, wherever the file has it."""
    datasets = (
        PhantomDataset("Axial", "pretrain", ("liver",), 2, ("LPS", "RAS")),
        PhantomDataset("Sagittal", "pretrain", ("liver",), 1, ("PIR",)),
    )
    workspace = Workspace(tmp_path)
    write_phantom_datasets(workspace.raw_data, datasets[:1], spacing_mm=(12.0, 13.0, 50.0))
    write_phantom_datasets(workspace.raw_data, datasets[1:], spacing_mm=(12.0, 13.0, 14.0))
    raw = [find_dataset(workspace.raw_data, name) for name in ("Axial", "Sagittal")]
    found = inspect_datasets(raw)
    data = [summarise(d.name, [case for case in found if case.dataset == d.name]) for d in raw]
    choice = choose_spacing((1.5, 1.5, 2.0), "auto", data)
    assert choice.value == pytest.approx((12.0, 13.0, 21.2))  # 14 + 0.2 x (50 - 14)
