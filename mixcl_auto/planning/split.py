"""Folds by patient, stratified by which labels a patient has, with nested fractions."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

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
    first, each to the fold that has fewest patients with it; then patients change folds as long as that gives
    a label to a fold that lacks it, so that no fold lacks a label where that can be (contrived cases apart);
    last, they move to smaller folds, so that a fraction is of about as many patients in every fold.
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
        raise PlanError(
            f"{dataset}: a target needs at least 2 patients to be held out in turn; it has 1: add "
            f"some, or only pre-train on it with --pretrain {dataset}"
        )
    if not 2 <= folds <= len(patients):
        raise PlanError(f"{dataset}: {folds} folds can't be made of {len(patients)} patients")
    dealt = _deal(patients, folds, np.random.default_rng([seed, 0]))
    fold_of = _even(_exchange(dealt, patients), patients)
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


def _exchange(fold_of: Mapping[str, int], patients: Mapping[str, frozenset[int]]) -> dict[str, int]:
    """Exchange two patients, or move one to a smaller fold, until that brings no label to any fold."""
    best = dict(fold_of)
    while (better := next(_better(best, patients), None)) is not None:
        best.update(better)
    return best


def _better(fold_of: Mapping[str, int], patients: Mapping[str, frozenset[int]]) -> Iterator[dict[str, int]]:
    """Changes after which the folds have more labels in all."""
    counts = Counter((fold, label) for name, fold in fold_of.items() for label in patients[name])
    sizes = Counter(fold_of.values())
    labels = frozenset().union(*patients.values())
    lacking = [fold for fold in sizes if any(not counts[fold, label] for label in labels)]
    for fold in sorted(lacking):
        for name in [name for name in fold_of if fold_of[name] != fold]:
            other = fold_of[name]
            if sizes[fold] < sizes[other] and _gain(counts, patients[name], frozenset(), other, fold) > 0:
                yield {name: fold}
            for back in [back for back in fold_of if fold_of[back] == fold]:
                if _gain(counts, patients[name], patients[back], other, fold) > 0:
                    yield {name: fold, back: other}


def _gain(
    counts: Mapping[tuple[int, int], int], going: frozenset[int], back: frozenset[int], start: int, end: int
) -> int:
    """How many more labels two folds have once a patient went from ``start`` to ``end``, and one back."""
    lost = sum(counts[start, label] == 1 for label in going - back)
    lost += sum(counts[end, label] == 1 for label in back - going)
    won = sum(counts[end, label] == 0 for label in going - back)
    return won + sum(counts[start, label] == 0 for label in back - going) - lost


def _even(fold_of: Mapping[str, int], patients: Mapping[str, frozenset[int]]) -> dict[str, int]:
    """Move patients to smaller folds until sizes differ by one at most, or a fold would lose a label."""
    best = dict(fold_of)
    while moves := _evening_moves(best, patients):
        best.update([min(moves, key=lambda move: moves[move])])
    return best


def _evening_moves(
    fold_of: Mapping[str, int], patients: Mapping[str, frozenset[int]]
) -> dict[tuple[str, int], tuple[int, int]]:
    """Patient and a fold at least two smaller, where that takes no label from the patient's fold.

    Of each move, minus the difference in size, and how much it unbalances the labels: half the change of the
    sum over folds and labels of the squared number of patients.
    """
    counts = Counter((fold, label) for name, fold in fold_of.items() for label in patients[name])
    sizes = Counter(fold_of.values())
    return {
        (name, end): (
            sizes[end] - sizes[start],
            sum(counts[end, label] - counts[start, label] + 1 for label in patients[name]),
        )
        for name, start in fold_of.items()
        for end in sorted(sizes)
        if sizes[end] <= sizes[start] - 2 and all(counts[start, label] > 1 for label in patients[name])
    }


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
