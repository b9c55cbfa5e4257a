"""From a plan to the cached cases that a run trains on."""

from collections.abc import Iterable, Mapping, Sequence

from mixcl_auto.errors import DataError, RunError
from mixcl_auto.io.cache_recipe import other_recipes
from mixcl_auto.io.case_cache import CaseReader, case_key, open_case
from mixcl_auto.io.plans import read_fingerprint
from mixcl_auto.io.workspace import Workspace
from mixcl_auto.records.fingerprint import CaseFingerprint
from mixcl_auto.records.plan import Plan, PreprocessPlan
from mixcl_auto.records.plan_edits import plan_differences
from mixcl_auto.records.record import content_hash

_LISTED = 5


def open_cases(workspace: Workspace, plan: Plan, dataset: str, cases: Iterable[str]) -> list[CaseReader]:
    """Open the cache of some cases of a dataset under the plan's preprocess section.

    They are those that the plan was made from: another plan may have put other scans of the same names there.

    Raises:
        RunError: naming the dataset and which of its cases are not in the cache, or were made of other files
            than the plan; with the fields of ``preprocess`` that differ from a cache that is there.
        DataError: if a case is damaged, or if the plan's fingerprint is gone.
        PlanError: if the fingerprint is not the one that the plan names.
    """
    preprocess_hash = content_hash(plan.preprocess)
    readers, missing = [], []
    for case in cases:
        try:
            readers.append(open_case(workspace.cached_case(dataset, preprocess_hash, case)))
        except DataError:
            missing.append(case)
    if missing:
        raise RunError(
            f"{dataset}: {len(missing)} of {len(missing) + len(readers)} cases are not in the cache "
            f"{workspace.cache(dataset, preprocess_hash)} ({_listed(missing)}); run `mixcl_auto "
            "plan_and_preprocess` again as for this plan (fields of preprocess that were changed need their "
            f"--set there){_other_caches(workspace, dataset, plan.preprocess)}"
        )
    fingerprint = read_fingerprint(workspace, plan.dataset(dataset))
    _refuse_others(dataset, readers, {case.id: case for case in fingerprint.cases}, preprocess_hash)
    for reader in readers:
        reader.check()
    return readers


def _refuse_others(
    dataset: str,
    readers: Sequence[CaseReader],
    planned: Mapping[str, CaseFingerprint],
    preprocess_hash: str,
) -> None:
    """See that every cached case was made of the files that were planned.

    Raises:
        RunError: naming those that were not.
    """
    if unplanned := [reader.record.id for reader in readers if reader.record.id not in planned]:
        raise RunError(
            f"{dataset}: not among the cases that the plan was made from: {_listed(unplanned)}; correct "
            "datasets.cases and the folds, or run `mixcl_auto plan_and_preprocess` again"
        )
    others = []
    for reader in readers:
        case = planned[reader.record.id]
        key = case_key(case.image_hash, case.label_hash, preprocess_hash, reader.record.patient)
        if reader.record.key != key:
            others.append(case.id)
    if others:
        raise RunError(
            f"{dataset}: {len(others)} of {len(readers)} cached cases were not made of the files that the "
            f"plan was made from ({_listed(others)}): the raw files were replaced and preprocessed again "
            "under another plan, or by another version. To go on with the files that are there, run "
            "`mixcl_auto plan_and_preprocess` again under this plan's name; to keep this plan, restore the "
            "earlier files first"
        )


def _other_caches(workspace: Workspace, dataset: str, recipe: PreprocessPlan) -> str:
    """What the caches that are there differ in, as lines of a message; empty where nothing can be told."""
    now = Plan(preprocess=recipe)
    lines = []
    for folder, other in other_recipes(workspace, dataset, recipe).items():
        before = Plan(preprocess=other)
        lines += [f"\n  {folder}:", *plan_differences(before, now, ("preprocess",))]
    return "\nother caches (their value, then this plan's):" + "\n    ".join(lines) if lines else ""


def _listed(cases: Sequence[str]) -> str:
    return ", ".join(cases[:_LISTED]) + (", ..." if len(cases) > _LISTED else "")


def count_label_voxels(cases: Sequence[CaseReader], class_count: int) -> list[int]:
    """Voxels of each class over the cases, background first.

    Raises:
        RunError: for a label in the cache that the plan does not have.
    """
    counts = [0] * class_count
    for case in cases:
        for label, voxels in case.record.label_voxels.items():
            if not 0 <= label < class_count:
                raise RunError(
                    f"case {case.record.id}: label {label} is in the cache, the plan has labels up to "
                    f"{class_count - 1}; run `mixcl_auto plan_and_preprocess` again"
                )
            counts[label] += voxels
    return counts
