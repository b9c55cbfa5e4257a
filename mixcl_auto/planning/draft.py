"""A plan on its way: fields are settled one by one, each with the rule and the reason."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mixcl_auto.planning.rules import Choice
from mixcl_auto.records.case import RawDataset
from mixcl_auto.records.fingerprint import DatasetFingerprint
from mixcl_auto.records.plan import DatasetPlan, Decision, Plan
from mixcl_auto.records.record import content_hash
from mixcl_auto.records.split import DatasetSplit

LeftOut = Mapping[tuple[str, str], str]
"""Dataset and case to the reason why it is left out."""


@dataclass
class Draft:
    """A plan on its way, with the fields that the user has fixed."""

    plan: Plan
    edited: set[str]
    decisions: dict[str, Decision] = field(default_factory=dict)
    """Field to what was decided last."""
    warnings: list[str] = field(default_factory=list)

    def settle(self, path: str, choice: Choice) -> None:
        """Give a field the value that a rule chose, unless the user has set it."""
        section, _, key = path.partition(".")
        if path in self.edited:
            kept = getattr(getattr(self.plan, section), key)
            self._note(path, Choice(kept, "--set", "given by the user"))
            return
        changed = getattr(self.plan, section).model_copy(update={key: choice.value})
        self.plan = self.plan.model_copy(update={section: changed})
        self._note(path, choice)

    def keep(self, path: str, reason: str) -> None:
        """Note a field that stays as the preset or the user set it."""
        section, _, key = path.partition(".")
        rule = "--set" if path in self.edited else "preset"
        value = getattr(getattr(self.plan, section), key)
        if value is not None:
            self._note(path, Choice(value, rule, reason))

    def set_datasets(
        self,
        datasets: Sequence[RawDataset],
        fingerprints: Sequence[DatasetFingerprint],
        splits: Sequence[DatasetSplit],
        left_out: LeftOut,
    ) -> None:
        """Enter the datasets with the hashes of what they rest on."""
        hashes = {split.dataset: content_hash(split) for split in splits}
        planned = [
            _dataset_plan(dataset, fingerprint, hashes.get(dataset.name), left_out)
            for dataset, fingerprint in zip(datasets, fingerprints, strict=True)
        ]
        self.plan = self.plan.model_copy(update={"datasets": tuple(planned)})
        for raw, dataset in zip(datasets, planned, strict=True):
            rule = "dataset.json or command line" if raw.role_given else "not given"
            cases = "1 case" if len(dataset.cases) == 1 else f"{len(dataset.cases)} cases"
            reason = f"{cases} with {', '.join(dataset.labels)}"
            self._note(f"datasets.{dataset.name}.role", Choice(dataset.role, rule, reason))

    def note_split(self, split: DatasetSplit, patients: int) -> None:
        """Note how many folds a target has."""
        choice = Choice(len(split.folds), "5 by patient, or as many as patients", f"{patients} patients")
        self._note(f"splits.{split.dataset}.folds", choice)

    def _note(self, path: str, choice: Choice) -> None:
        self.decisions[path] = Decision(
            field=path, value=_text(choice.value), rule=choice.rule, reason=choice.reason
        )


def _dataset_plan(
    dataset: RawDataset, fingerprint: DatasetFingerprint, split: str | None, left_out: LeftOut
) -> DatasetPlan:
    return DatasetPlan(
        name=dataset.name,
        role=dataset.role,
        channel_name=dataset.channel_name,
        labels=dataset.labels,
        cases=tuple(case.id for case in fingerprint.cases),
        left_out={case: reason for (name, case), reason in left_out.items() if name == dataset.name},
        fingerprint=content_hash(fingerprint),
        split=split,
    )


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(_text(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
