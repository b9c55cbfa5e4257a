import numpy as np
import pytest
from planning_records import intensities

from mixcl_auto.errors import DataError
from mixcl_auto.planning.fingerprint import fingerprint_case, summarise


def test_shape_and_spacing_are_in_ras_order(make):
    found = make.inspection(size=(10, 20, 30), spacing_mm=(1, 2, 3), orientation="SRA")
    case = fingerprint_case(found)
    assert (case.shape, case.spacing_mm, case.orientation) == ((20, 30, 10), (2, 3, 1), "SRA")


def test_an_unusable_case_is_refused_with_its_reason(make):
    found = make.inspection(label=None, problems={"l.nii": "truncated"})
    with pytest.raises(DataError, match=r"D, case a can't be used: l\.nii: truncated"):
        fingerprint_case(found)


def test_medians_and_percentiles_are_over_cases(make):
    found = [make.inspection(name=str(z), size=(10, 10, z), spacing_mm=(1, 1, z)) for z in range(1, 12)]
    data = summarise("D", found)
    assert data.median_shape == (10, 10, 6)
    assert data.median_spacing_mm == (1, 1, 6)
    assert data.spacing_percentile_10_mm == (1, 1, 2)
    assert data.spacing_percentile_90_mm == (1, 1, 10)


def test_each_case_weighs_the_same_in_the_foreground(make):
    """Means 0 and 10, standard deviations 1 and 2: mean 5, variance (1 + 4 + 0 + 100) / 2 - 25 = 27.5."""
    found = [
        make.inspection(name="a", foreground=intensities(1000, 0.0, 1.0)),
        make.inspection(name="b", foreground=intensities(10, 10.0, 2.0)),
    ]
    foreground = summarise("D", found).foreground
    assert (foreground.voxels, foreground.mean) == (1010, 5.0)
    assert foreground.std == pytest.approx(27.5**0.5)
    np.testing.assert_allclose([foreground.percentile_00_5, foreground.median], [-99, 0], atol=1e-9)


def test_cases_without_labels_are_left_out_of_the_foreground(make):
    empty = make.inspection(name="b", foreground=None, foreground_quantiles=(), label_voxels={0: 9})
    assert summarise("D", [make.inspection(), empty]).foreground.voxels == 10
    assert summarise("D", [empty]).foreground is None


def test_no_case_is_an_error():
    with pytest.raises(DataError, match="D: no case is left"):
        summarise("D", [])
