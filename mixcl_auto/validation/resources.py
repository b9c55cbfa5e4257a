"""Whether disk and memory suffice for a plan, before hours are spent on it.

The factors were measured on x86-64 Linux. Cache: 167 CT of the head and neck, of soft-tissue tumours and of
the abdomen, preprocessed at 1.5 x 1.5 x 2.0 mm, take 0.66 to 1.41 bytes per voxel of the new grid by dataset,
and 1.72 at most in a case; scans with much air around the body take least. Memory: the growth of
``ru_maxrss`` (of Python's ``resource.getrusage``) over one call of ``preprocess_case``, for scans of 7 to 79
million voxels, int16 and float32, onto grids of 2 to 79 million voxels; before it the process held 0.28 GB.
"""

from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import prod
from typing import Literal

from mixcl_auto.records.finding import Finding
from mixcl_auto.records.fingerprint import CaseFingerprint, DatasetFingerprint
from mixcl_auto.records.plan import Plan, PreprocessPlan

_CACHE_BYTES_PER_VOXEL = (0.65, 1.75)
"""The least and the most that a dataset's cache may be expected to take."""
_INSPECTION_BYTES_PER_BYTE = 3.0
"""Of the scan's file, decompressed; with its label map. One of int16 with fractions takes some 7."""
_READING_BYTES_PER_VOXEL = 8.0
"""Of the file: its bytes, decompressed, as numbers. A file of float64 takes up to 21."""
_SOURCE_BYTES_PER_VOXEL = 5.0
"""Of the file, while it is resampled."""
_RESULT_BYTES_PER_VOXEL = 10.0
"""Of the new grid, while it is filled, measured (the distances to boundaries) and compressed."""
_PROCESS_BYTES = 0.3 * 2**30
_USABLE_SHARE = 0.8
"""Of the memory; the rest is for the system and for what else runs."""
_GB = 2**30


@dataclass(frozen=True)
class _Need:
    dataset: str
    case: str
    voxels: int
    """Of the resampled grid."""
    memory_bytes: float


def resource_findings(
    plan: Plan,
    fingerprints: Sequence[DatasetFingerprint],
    *,
    free_disk_bytes: int,
    memory_gb: float | None,
    jobs: int,
    cached: Container[tuple[str, str]] = (),
) -> list[Finding]:
    """Judge whether the cache of a plan fits the disk, and its preprocessing the memory.

    Args:
        plan: for the grid.
        fingerprints: the cases to preprocess.
        free_disk_bytes: on the file system of the workspace.
        memory_gb: of the machine, in GiB; not judged where it is not known.
        jobs: cases at once.
        cached: dataset and case of those that are in the cache already, and so need nothing.
    """
    needs = _needs(plan.preprocess, fingerprints, cached)
    return [*_disk(needs, plan.preprocess, free_disk_bytes), *_memory(needs, memory_gb, jobs)]


def fitting_jobs(
    plan: Plan,
    fingerprints: Sequence[DatasetFingerprint],
    *,
    memory_gb: float | None,
    jobs: int,
    cached: Container[tuple[str, str]] = (),
) -> int:
    """How many cases can be preprocessed at once, at most ``jobs`` and at least one; see above."""
    return _fitting_jobs(_needs(plan.preprocess, fingerprints, cached), memory_gb, jobs)


def largest_case_bytes(
    plan: Plan, fingerprints: Sequence[DatasetFingerprint], cached: Container[tuple[str, str]] = ()
) -> int:
    """Memory that preprocessing the largest case takes; 0 if none is left."""
    return max((int(need.memory_bytes) for need in _needs(plan.preprocess, fingerprints, cached)), default=0)


def fitting_inspections(image_bytes: Iterable[int], *, memory_gb: float | None, jobs: int) -> int:
    """How many cases can be inspected at once, at most ``jobs`` and at least one.

    Args:
        image_bytes: of every scan, decompressed.
        memory_gb: of the machine, in GiB; as many as ``jobs`` where it is not known.
        jobs: as many as there are cores.
    """
    needs = sorted((_PROCESS_BYTES + _INSPECTION_BYTES_PER_BYTE * size for size in image_bytes), reverse=True)
    return _fitting(needs, memory_gb, jobs)


def _needs(
    preprocess: PreprocessPlan,
    fingerprints: Sequence[DatasetFingerprint],
    cached: Container[tuple[str, str]],
) -> list[_Need]:
    """What every case takes, the largest first."""
    needs = [
        _need(dataset.dataset, case, preprocess)
        for dataset in fingerprints
        for case in dataset.cases
        if (dataset.dataset, case.id) not in cached
    ]
    return sorted(needs, key=lambda need: need.memory_bytes, reverse=True)


def _need(dataset: str, case: CaseFingerprint, preprocess: PreprocessPlan) -> _Need:
    extent_mm = [n * spacing for n, spacing in zip(case.shape, case.spacing_mm, strict=True)]
    voxels = prod(
        max(1, round(extent / target))
        for extent, target in zip(extent_mm, preprocess.spacing_mm, strict=True)
    )
    source = prod(case.shape)
    resampling = _SOURCE_BYTES_PER_VOXEL * source + _RESULT_BYTES_PER_VOXEL * voxels
    peak = max(_READING_BYTES_PER_VOXEL * source, resampling)
    return _Need(dataset, case.id, voxels, _PROCESS_BYTES + peak)


def _disk(needs: Sequence[_Need], preprocess: PreprocessPlan, free_bytes: int) -> Iterator[Finding]:
    least, most = (share * sum(need.voxels for need in needs) for share in _CACHE_BYTES_PER_VOXEL)
    if free_bytes >= most:
        return
    spacing = " x ".join(f"{value:g}" for value in preprocess.spacing_mm)
    message = (
        f"the cache at {spacing} mm (cases to preprocess: {len(needs)}) takes some {_gb(least)} to "
        f"{_gb(most)} GB, and {_gb(free_bytes)} GB are free on the workspace's disk; free some space, use a "
        "workspace on a larger disk (-w), or choose a coarser --spacing"
    )
    severity = "error" if free_bytes < least else "warning"
    yield Finding(severity=severity, dataset="", message=message, check="disk_suffices")


def _memory(needs: Sequence[_Need], memory_gb: float | None, jobs: int) -> Iterator[Finding]:
    if memory_gb is None or not needs:
        return
    largest, at_once = needs[0], needs[:jobs]
    takes = f"takes some {_gb(largest.memory_bytes)} GB of memory, and the machine has {memory_gb:.1f} GB"
    if largest.memory_bytes > memory_gb * _GB:
        remedy = "use a machine with more, choose a coarser --spacing, or crop the scan"
        yield _memory_finding("error", largest, f"preprocessing the largest case {takes}; {remedy}")
    elif largest.memory_bytes > _USABLE_SHARE * memory_gb * _GB:
        remedy = "close other programs and use --jobs 1, or use a machine with more"
        yield _memory_finding("warning", largest, f"preprocessing the largest case {takes}; {remedy}")
    elif (fitting := _fitting_jobs(needs, memory_gb, jobs)) < len(at_once):
        together = _gb(sum(need.memory_bytes for need in at_once))
        what = f"with --jobs {jobs} the largest cases may take some {together} GB together; this one"
        yield _memory_finding("warning", largest, f"{what} {takes}; use --jobs {fitting}")


def _memory_finding(severity: Literal["error", "warning"], need: _Need, message: str) -> Finding:
    return Finding(
        severity=severity, dataset=need.dataset, case=need.case, message=message, check="memory_suffices"
    )


def _fitting_jobs(needs: Sequence[_Need], memory_gb: float | None, jobs: int) -> int:
    return _fitting([need.memory_bytes for need in needs], memory_gb, jobs)


def _fitting(needs: Sequence[float], memory_gb: float | None, jobs: int) -> int:
    """How many of the needs, in bytes and the largest first, the memory holds together."""
    if memory_gb is None:
        return jobs
    totals = accumulate(needs[:jobs])
    fitting = sum(total <= _USABLE_SHARE * memory_gb * _GB for total in totals)
    return jobs if fitting == min(jobs, len(needs)) else max(1, fitting)


def _gb(number: float) -> str:
    return f"{number / _GB:.1f}"
