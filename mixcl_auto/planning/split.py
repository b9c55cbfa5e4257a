"""Folds by patient, stratified by which labels a patient has, with nested fractions."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from mixcl_auto.errors import PlanError
from mixcl_auto.records.fingerprint import CaseFingerprint
from mixcl_auto.records.split import DatasetSplit, Fold

MOST_FOLDS = 5


def make_split(
    dataset: str, cases: Sequence[CaseFingerprint], *, folds: int | None = None, seed: int = 0
) -> DatasetSplit:
    """Split a dataset's cases.

    Iterative stratification (Sechidis et al., 2011) over patients: those with the rarest label are dealt out
    first, each to the fold that has fewest patients with it, so that no fold lacks a label where that can be.
    A fold's training cases are in a random order, of which a smaller fraction takes a shorter prefix.

    Args:
        dataset: its name.
        cases: with patients and label counts.
        folds: how many; 5, or as many as patients where there are fewer, if absent.
        seed: of both draws; the same cases and seed give the same folds.

    Raises:
        PlanError: if there are fewer patients than folds, or only one.
    """
    patients = _labels_by_patient(cases)
    folds = folds or min(MOST_FOLDS, len(patients))
    if len(patients) < 2:
        raise PlanError(f"{dataset}: a target needs at least 2 patients to be held out in turn; it has 1")
    if not 2 <= folds <= len(patients):
        raise PlanError(f"{dataset}: {folds} folds can't be made of {len(patients)} patients")
    fold_of = _deal(patients, folds, np.random.default_rng([seed, 0]))
    return DatasetSplit(
        dataset=dataset,
        seed=seed,
        folds=tuple(_fold(cases, fold_of, index, seed) for index in range(folds)),
    )


def labels_of(case: CaseFingerprint) -> frozenset[int]:
    """The labels that a case has, without the background."""
    return frozenset(label for label, voxels in case.label_voxels.items() if label > 0 and voxels > 0)


def _labels_by_patient(cases: Sequence[CaseFingerprint]) -> dict[str, frozenset[int]]:
    labels: dict[str, frozenset[int]] = defaultdict(frozenset)
    for case in sorted(cases, key=lambda case: case.id):
        labels[case.patient] |= labels_of(case)
    return dict(labels)


def _deal(
    patients: Mapping[str, frozenset[int]], folds: int, generator: np.random.Generator
) -> dict[str, int]:
    """Patient to fold."""
    names = list(patients)
    remaining = [names[index] for index in generator.permutation(len(names))]
    with_label: dict[int, list[int]] = defaultdict(lambda: [0] * folds)
    sizes = [0] * folds
    fold_of: dict[str, int] = {}
    while remaining:
        label = _rarest(remaining, patients)
        for patient in [name for name in remaining if label is None or label in patients[name]]:
            counts = with_label[label] if label is not None else sizes
            chosen = min(range(folds), key=lambda fold: (counts[fold], sizes[fold], fold))
            fold_of[patient] = chosen
            sizes[chosen] += 1
            for present in patients[patient]:
                with_label[present][chosen] += 1
        remaining = [name for name in remaining if name not in fold_of]
    return fold_of


def _rarest(remaining: Sequence[str], patients: Mapping[str, frozenset[int]]) -> int | None:
    """The label that fewest of the remaining patients have; none if they have no label."""
    counts: dict[int, int] = defaultdict(int)
    for name in remaining:
        for label in patients[name]:
            counts[label] += 1
    return min(counts, key=lambda label: (counts[label], label)) if counts else None


def _fold(cases: Sequence[CaseFingerprint], fold_of: Mapping[str, int], index: int, seed: int) -> Fold:
    ordered = sorted(cases, key=lambda case: case.id)
    training = [case.id for case in ordered if fold_of[case.patient] != index]
    held_out = [case.id for case in ordered if fold_of[case.patient] == index]
    order = np.random.default_rng([seed, 1, index]).permutation(len(training))
    return Fold(training=tuple(training[position] for position in order), held_out=tuple(held_out))
