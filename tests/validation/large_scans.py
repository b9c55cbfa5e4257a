"""Fingerprints of scans that are too large to be written by a test, and what machines make of them."""

from mixcl_auto.records.fingerprint import CaseFingerprint, DatasetFingerprint, Intensities

MACHINES = {
    "far too little disk for the plan's cache": {"free_disk_bytes": 2**29, "memory_gb": 64.0, "jobs": 2},
    "perhaps too little disk for the plan's cache": {"free_disk_bytes": 2**31, "memory_gb": 64.0, "jobs": 2},
    "too little memory for a case": {"free_disk_bytes": 2**40, "memory_gb": 8.0, "jobs": 2},
    "hardly enough memory for a case": {"free_disk_bytes": 2**40, "memory_gb": 15.0, "jobs": 2},
    "too little memory for so many jobs": {"free_disk_bytes": 2**40, "memory_gb": 24.0, "jobs": 2},
}
"""What is wrong, for a scan of 1000 x 1000 x 1000 voxels and a small one, both of 1 mm and planned so."""

_VALUES = Intensities(
    voxels=1, mean=0, std=1, minimum=-1, percentile_00_5=-1, median=0, percentile_99_5=1, maximum=1
)


def cubes(*sides: int, spacing_mm: float = 1.0, dataset: str = "Pool") -> DatasetFingerprint:
    """A dataset of cubes with these sides, in voxels; a case is called by its side."""
    cases = tuple(
        CaseFingerprint(
            id=f"case_{side}",
            patient=f"case_{side}",
            image_hash="",
            label_hash="",
            shape=(side, side, side),
            spacing_mm=(spacing_mm, spacing_mm, spacing_mm),
            orientation="LPS",
            label_voxels={},
            image=_VALUES,
            foreground=None,
        )
        for side in sides
    )
    triple = (1.0, 1.0, 1.0)
    return DatasetFingerprint(
        dataset=dataset,
        cases=cases,
        median_shape=triple,
        median_spacing_mm=triple,
        spacing_percentile_10_mm=triple,
        spacing_percentile_90_mm=triple,
        foreground=None,
    )
