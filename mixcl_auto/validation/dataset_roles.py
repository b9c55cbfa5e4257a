"""Which datasets meet in pool and target, so that what both have would leak."""

from collections.abc import Mapping, Sequence

from mixcl_auto.records.case import RawDataset, Role

Roles = Mapping[str, Role]
"""Of each dataset by name."""


def roles_of(datasets: Sequence[RawDataset]) -> Roles:
    """Name to role."""
    return {dataset.name: dataset.role for dataset in datasets}


def meet(one: Role, other: Role) -> bool:
    """Whether one dataset pre-trains and the other is a target."""
    return (one != "target" and other != "pretrain") or (one != "pretrain" and other != "target")
