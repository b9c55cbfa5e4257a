"""From a plan to the cached cases that a run trains on."""

from collections.abc import Iterable, Sequence

from mixcl_auto.errors import DataError, RunError
from mixcl_auto.io.case_cache import CaseReader, open_case
from mixcl_auto.io.workspace import Workspace
from mixcl_auto.records.plan import Plan
from mixcl_auto.records.record import content_hash


def open_cases(workspace: Workspace, plan: Plan, dataset: str, cases: Iterable[str]) -> list[CaseReader]:
    """Open the cache of some cases of a dataset under the plan's preprocess section.

    Raises:
        RunError: naming the dataset and how many of its cases are not in the cache.
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
            f"{workspace.cache(dataset, preprocess_hash)} ({', '.join(missing[:5])}"
            f"{', ...' if len(missing) > 5 else ''}); run `mixcl_auto plan_and_preprocess` again "
            "as for this plan (fields of preprocess that were changed need their --set there)"
        )
    return readers


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
