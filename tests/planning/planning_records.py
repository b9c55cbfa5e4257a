from collections.abc import Callable

from mixcl_auto.records.case import Geometry, RawCase, RawDataset
from mixcl_auto.records.fingerprint import CaseFingerprint, DatasetFingerprint, Intensities
from mixcl_auto.records.inspection import CaseInspection, FileFacts
from mixcl_auto.records.machine import Accelerator, Machine

LABELS = {"liver": 1, "spleen": 2}


def intensities(voxels: int = 10, mean: float = 0.0, std: float = 1.0) -> Intensities:
    return Intensities(
        voxels=voxels,
        mean=mean,
        std=std,
        minimum=-1000,
        percentile_00_5=-900,
        median=0,
        percentile_99_5=900,
        maximum=1000,
    )


def make_inspection(dataset="D", name="a", **changes) -> CaseInspection:
    geometry = Geometry(
        size=changes.pop("size", (100, 120, 40)),
        spacing_mm=changes.pop("spacing_mm", (1.0, 1.0, 3.0)),
        origin_mm=(0, 0, 0),
        direction=(1, 0, 0, 0, 1, 0, 0, 0, 1),
        orientation=changes.pop("orientation", "LPS"),
    )
    values = {
        "dataset": dataset,
        "case": name,
        "patient": name,
        "image": FileFacts(
            path="i", sha256=f"i{name}", content_sha256=f"c{dataset}{name}", geometry=geometry
        ),
        "label": FileFacts(path="l", sha256=f"l{name}", content_sha256="l", geometry=geometry),
        "problems": {},
        "intensities": intensities(),
        "label_voxels": {0: 100_000, 1: 1000, 2: 500},
        "foreground": intensities(),
        "foreground_quantiles": tuple(float(value) for value in range(-100, 101)),
    }
    return CaseInspection(**(values | changes))


def make_case(name, labels=(1, 2), patient=None, **changes) -> CaseFingerprint:
    values = {
        "id": name,
        "patient": patient or name,
        "image_hash": "i",
        "label_hash": "l",
        "shape": (100, 120, 40),
        "spacing_mm": (1.0, 1.0, 3.0),
        "orientation": "LPS",
        "label_voxels": {0: 100} | dict.fromkeys(labels, 10),
        "image": intensities(),
        "foreground": intensities(),
    }
    return CaseFingerprint(**(values | changes))


def make_fingerprint(cases, name="D", quantiles=()) -> DatasetFingerprint:
    return DatasetFingerprint(
        dataset=name,
        cases=tuple(cases),
        median_shape=(1, 1, 1),
        median_spacing_mm=(1, 1, 1),
        spacing_percentile_10_mm=(1, 1, 1),
        spacing_percentile_90_mm=(1, 1, 1),
        foreground=None,
        foreground_quantiles=quantiles,
    )


def make_dataset(name="D", role="target", ids="ab", **changes) -> RawDataset:
    cases = tuple(RawCase(id=case, image=f"{case}.nii", label=f"{case}l.nii", patient=case) for case in ids)
    return RawDataset(**({"name": name, "role": role, "labels": LABELS, "cases": cases} | changes))


def make_machine(cores=4, physical_cores=None, gpu=False) -> Machine:
    accelerators = (Accelerator(name="X", memory_gb=80),) if gpu else ()
    return Machine(
        cores=cores, physical_cores=physical_cores or cores, memory_gb=32, accelerators=accelerators
    )


class Make:
    inspection: Callable[..., CaseInspection] = staticmethod(make_inspection)
    case: Callable[..., CaseFingerprint] = staticmethod(make_case)
    fingerprint: Callable[..., DatasetFingerprint] = staticmethod(make_fingerprint)
    dataset: Callable[..., RawDataset] = staticmethod(make_dataset)
    machine: Callable[..., Machine] = staticmethod(make_machine)
