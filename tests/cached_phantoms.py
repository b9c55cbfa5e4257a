"""A workspace with a small cache, for tests of the trainers: balls of known HU in noise."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mixcl_auto.io.case_cache import case_key
from mixcl_auto.io.case_writer import write_case
from mixcl_auto.io.plans import write_fingerprint, write_split
from mixcl_auto.io.workspace import Workspace
from mixcl_auto.records.case import CachedCase, Geometry
from mixcl_auto.records.fingerprint import CaseFingerprint, DatasetFingerprint, Intensities
from mixcl_auto.records.plan import DatasetPlan, FinetunePlan, NetworkPlan, Plan, PretrainPlan
from mixcl_auto.records.record import content_hash
from mixcl_auto.records.split import DatasetSplit, Fold
from mixcl_auto.transforms.weight_map import distance_to_boundary, encode_distance

POOL = {"Liver": ({"liver": 1, "tumour": 2}, 3), "Kidney": ({"kidney": 1}, 1)}
TARGET = "Abdomen"
TARGET_LABELS = {"spleen": 1, "liver": 2, "aorta": 3}
TARGET_CASES = 5
SHAPE = (40, 44, 28)
ORGAN_HU = (-50, 120, 60, 200)

NETWORK = NetworkPlan(patch_size=(32, 32, 32), feature_size=4, hidden_size=24, mlp_size=48, heads=2, layers=4)
SHARED = {"threads": 1, "workers": 0, "precision": "fp32", "checkpoint_every": 3, "learning_rate": 1e-3}
PRETRAIN = PretrainPlan(
    iterations=5,
    batch_size=2,
    voxels_per_class=16,
    label_weight=1.0,
    reconstruction_weight=1.0,
    identity_reduction="mean_per_channel",
    gradient_every=2,
    **SHARED,
)
FINETUNE = FinetunePlan(
    iterations=5,
    batch_size=2,
    dice_over_batch=True,
    dice_includes_background=False,
    output_bias="log_frequency",
    **SHARED,
)


def make_volume(seed: int, labels: int, shape: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """An image in HU with one ball per label, and its label map."""
    generator = np.random.default_rng(seed)
    grid = np.indices(shape)
    label_map = np.zeros(shape, np.uint8)
    for label in range(1, labels + 1):
        centre = [generator.uniform(0.2 * n, 0.8 * n) for n in shape]
        squared = sum((axis - c) ** 2 for axis, c in zip(grid, centre, strict=True))
        label_map[squared < generator.uniform(4, 7) ** 2] = label
    image = np.array(ORGAN_HU, np.float64)[label_map] + generator.normal(0, 20, shape)
    return np.clip(np.rint(image), -150, 250).astype(np.int16), label_map


def planned_key(
    case: str, preprocess_hash: str, *, patient: str | None = None, label_hash: str | None = None
) -> str:
    """The key of a cached case that ``put_fingerprint`` plans."""
    return case_key(f"image of {case}", label_hash or f"labels of {case}", preprocess_hash, patient or case)


def put_fingerprint(
    workspace: Workspace, dataset: str, cases: tuple[str, ...], label_hashes: Mapping[str, str] | None = None
) -> str:
    """Plan cases whose files nobody has, but for the label maps of some; gives the fingerprint's hash."""
    nothing = Intensities(
        voxels=0, mean=0, std=0, minimum=0, percentile_00_5=0, median=0, percentile_99_5=0, maximum=0
    )
    planned = tuple(
        CaseFingerprint(
            id=case,
            patient=case,
            image_hash=f"image of {case}",
            label_hash=(label_hashes or {}).get(case, f"labels of {case}"),
            shape=SHAPE,
            spacing_mm=(1.5, 1.5, 2.0),
            orientation="RAS",
            label_voxels={},
            image=nothing,
            foreground=None,
        )
        for case in cases
    )
    fingerprint = DatasetFingerprint(
        dataset=dataset,
        cases=planned,
        median_shape=SHAPE,
        median_spacing_mm=(1.5, 1.5, 2.0),
        spacing_percentile_10_mm=(1.5, 1.5, 2.0),
        spacing_percentile_90_mm=(1.5, 1.5, 2.0),
        foreground=None,
    )
    return write_fingerprint(workspace, fingerprint)


def write_volume(folder: Path, case: str, image: np.ndarray, labels: np.ndarray) -> CachedCase:
    """Put a case into the cache, in a folder of which the preprocessing's hash names the parent."""
    geometry = Geometry(
        size=image.shape,
        spacing_mm=(1.5, 1.5, 2.0),
        origin_mm=(0.0, 0.0, 0.0),
        direction=(1, 0, 0, 0, 1, 0, 0, 0, 1),
        orientation="LPS",
    )
    present, voxels = np.unique(labels, return_counts=True)
    record = CachedCase(
        id=case,
        key=planned_key(case, folder.parent.name),
        patient=case,
        shape=image.shape,
        spacing_mm=(1.5, 1.5, 2.0),
        source=geometry,
        label_voxels={int(label): int(count) for label, count in zip(present, voxels, strict=True)},
    )
    foreground = {int(label): np.argwhere(labels == label).astype(np.int16) for label in present if label > 0}
    write_case(
        folder,
        record,
        image=image,
        labels=labels,
        distance=encode_distance(distance_to_boundary(labels)),
        foreground=foreground,
    )
    return record


def make_workspace(root: Path) -> tuple[Workspace, Plan]:
    """A workspace with a cached pool, a cached target with two folds, and the plan over them."""
    workspace = Workspace(root)
    datasets = []
    preprocess_hash = content_hash(Plan().preprocess)
    kinds = [(name, "pretrain", labels, count) for name, (labels, count) in POOL.items()]
    kinds.append((TARGET, "target", TARGET_LABELS, TARGET_CASES))
    for number, (name, role, labels, count) in enumerate(kinds):
        cases = tuple(f"{name.lower()}_{case}" for case in range(count))
        for index, case in enumerate(cases):
            image, label_map = make_volume(100 * number + index, len(labels), SHAPE)
            write_volume(workspace.cached_case(name, preprocess_hash, case), case, image, label_map)
        split = write_split(workspace, make_split(name, cases)) if role == "target" else None
        datasets.append(
            DatasetPlan(
                name=name,
                role=role,
                labels=labels,
                cases=cases,
                fingerprint=put_fingerprint(workspace, name, cases),
                split=split,
            )
        )
    plan = Plan(network=NETWORK, datasets=tuple(datasets), pretrain=PRETRAIN, finetune=FINETUNE)
    return workspace, plan


def make_split(name: str, cases: tuple[str, ...]) -> DatasetSplit:
    """Two folds that hold out the first and the last case."""
    folds = (
        Fold(training=cases[1:], held_out=cases[:1]),
        Fold(training=cases[:-1], held_out=cases[-1:]),
    )
    return DatasetSplit(dataset=name, seed=0, folds=folds)


def edited(plan: Plan, section: str, **changes: object) -> Plan:
    """The plan with other values in one section."""
    new = getattr(plan, section).model_copy(update=changes)
    return plan.model_copy(update={section: type(new).model_validate(new.model_dump())})
