"""Which datasets pre-train and which are targets."""

from collections.abc import Iterable, Sequence

from mixcl_auto.errors import PlanError
from mixcl_auto.records.case import RawDataset, Role


def resolve_roles(
    datasets: Sequence[RawDataset], *, pretrain: Iterable[str] = (), target: Iterable[str] = ()
) -> tuple[RawDataset, ...]:
    """Settle every dataset's role.

    Named on the command line, a dataset has that role, or both if named twice. Else ``dataset.json`` decides.
    A dataset without any word on it pre-trains where some dataset is a target, and is both where none is: so
    a target's held-out scans do not come into the pool by accident.

    Args:
        datasets: as read.
        pretrain: names given as ``--pretrain``.
        target: names given as ``--target``.

    Raises:
        PlanError: if a name is no dataset; the message lists those there are.
    """
    to_pretrain, to_target = set(pretrain), set(target)
    named = to_pretrain | to_target
    known = {dataset.name for dataset in datasets}
    if unknown := sorted(named - known):
        raise PlanError(
            f"no dataset {', '.join(unknown)} among those to plan with; there are: {', '.join(sorted(known))}"
        )
    has_target = bool(to_target) or any(
        dataset.role_given and dataset.role != "pretrain" and dataset.name not in to_pretrain
        for dataset in datasets
    )
    return tuple(
        dataset.model_copy(
            update={
                "role": _role(dataset, to_pretrain, to_target, has_target),
                "role_given": dataset.role_given or dataset.name in named,
            }
        )
        for dataset in datasets
    )


def _role(dataset: RawDataset, to_pretrain: set[str], to_target: set[str], has_target: bool) -> Role:
    named = (dataset.name in to_pretrain, dataset.name in to_target)
    if named == (True, True):
        return "both"
    if any(named):
        return "pretrain" if named[0] else "target"
    if dataset.role_given:
        return dataset.role
    return "pretrain" if has_target else "both"
