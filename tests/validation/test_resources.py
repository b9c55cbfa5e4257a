import pytest
from large_scans import cubes

from mixcl_auto.records.plan import Plan, PreprocessPlan
from mixcl_auto.validation.resources import fitting_inspections, fitting_jobs, resource_findings

PLAN = Plan(preprocess=PreprocessPlan(spacing_mm=(1.0, 1.0, 1.0)))
GB = 2**30


def found(*fingerprints, free=100.0, memory_gb=100.0, jobs=1, plan=PLAN, cached=()):
    findings = resource_findings(
        plan, fingerprints, free_disk_bytes=int(free * GB), memory_gb=memory_gb, jobs=jobs, cached=cached
    )
    return [(item.severity, item.dataset, item.case, item.message) for item in findings]


def test_enough_is_no_finding():
    assert found(cubes(500, 500)) == []


@pytest.mark.parametrize(("free", "severity"), [(0.5, "error"), (1.0, "warning")])
def test_a_cache_that_the_disk_may_not_hold_is_told_with_its_size(free, severity):
    """1000^3 voxels at 0.65 to 1.75 bytes are 0.6 to 1.6 GB."""
    ((level, dataset, case, message),) = found(cubes(1000), free=free)
    assert (level, dataset, case) == (severity, "", None)
    assert "the cache at 1 x 1 x 1 mm (cases to preprocess: 1) takes some 0.6 to 1.6 GB, and" in message
    assert f"{free:.1f} GB are free" in message


def test_the_cache_grows_with_the_plans_resolution():
    fine = Plan(preprocess=PreprocessPlan(spacing_mm=(0.5, 0.5, 0.5)))
    assert found(cubes(500), free=0.5) == []
    assert [level for level, *_ in found(cubes(500), free=0.5, plan=fine)] == ["error"]


def test_the_cache_depends_on_the_extent_and_not_on_the_files_voxels():
    assert found(cubes(1000, spacing_mm=0.1), free=0.1) == []


def test_cases_in_the_cache_need_nothing():
    assert found(cubes(1000), free=0.0, memory_gb=1.0, cached={("Pool", "case_1000")}) == []


def test_a_case_that_the_memory_can_not_hold_is_an_error_that_names_it():
    """15 bytes for each of 1000^3 voxels, on a grid as fine, are 14.0 GB; and 0.3 GB for the process."""
    ((level, dataset, case, message),) = found(cubes(10, 1000), memory_gb=8.0)
    assert (level, dataset, case) == ("error", "Pool", "case_1000")
    assert "takes some 14.3 GB of memory, and the machine has 8.0 GB; use a machine with more" in message


def test_a_case_that_just_fits_the_memory_is_a_warning():
    ((level, _, case, message),) = found(cubes(1000), memory_gb=15.0, jobs=4)
    assert (level, case) == ("warning", "case_1000")
    assert "--jobs 1" in message


def test_too_many_jobs_for_the_memory_are_told_with_how_many_fit():
    """Of four cases of 14.3 GB two fit into 80 % of 40 GB."""
    large = cubes(1000, 1000, 1000, 1000)
    ((level, _, case, message),) = found(large, memory_gb=40.0, jobs=3)
    assert (level, case) == ("warning", "case_1000")
    assert "with --jobs 3 the largest cases may take some 42.8 GB together" in message
    assert message.endswith("use --jobs 2")


def test_jobs_beyond_the_number_of_cases_take_no_memory():
    assert found(cubes(1000), memory_gb=40.0, jobs=64) == []


@pytest.mark.parametrize(
    ("memory_gb", "jobs", "fitting"), [(40.0, 8, 2), (40.0, 1, 1), (80.0, 8, 8), (1.0, 8, 1), (None, 8, 8)]
)
def test_as_many_jobs_as_fit_are_offered(memory_gb, jobs, fitting):
    assert fitting_jobs(PLAN, [cubes(1000, 1000, 1000)], memory_gb=memory_gb, jobs=jobs) == fitting


@pytest.mark.parametrize(
    ("memory_gb", "jobs", "fitting"), [(16.0, 8, 2), (16.0, 1, 1), (64.0, 8, 8), (1.0, 8, 1), (None, 8, 8)]
)
def test_as_many_cases_are_inspected_at_once_as_fit(memory_gb, jobs, fitting):
    """A scan of 2 GB takes 6.3 GB, one of 1 GB 3.3: both fit into 80 % of 16 GB, a third does not."""
    sizes = [GB, 2 * GB, GB]
    assert fitting_inspections(sizes, memory_gb=memory_gb, jobs=jobs) == fitting


def test_memory_that_is_not_known_is_not_judged():
    assert found(cubes(1000), memory_gb=None) == []
