"""Cross-validation folds and nested label fractions, fixed at planning."""

import math

from mixcl_auto.errors import PlanError
from mixcl_auto.records.names import PlainName
from mixcl_auto.records.record import Record


class Fold(Record):
    """One fold: ``training`` is ordered, so that a smaller fraction is a prefix of a larger one."""

    training: tuple[PlainName, ...]
    held_out: tuple[PlainName, ...]


class DatasetSplit(Record):
    """The patient-wise folds of one dataset."""

    dataset: PlainName
    seed: int
    folds: tuple[Fold, ...]

    def fold(self, index: int) -> Fold:
        """Fold ``index``, counted from 0.

        Raises:
            PlanError: if there is no such fold.
        """
        if not 0 <= index < len(self.folds):
            raise PlanError(f"{self.dataset} has folds 0 to {len(self.folds) - 1}; got fold {index}")
        return self.folds[index]

    def training_cases(self, fold: int, fraction: float) -> tuple[str, ...]:
        """The first max(1, floor(f n + 1/2)) training cases of a fold.

        Raises:
            PlanError: if the fold does not exist or the fraction is not in (0, 1].
        """
        if not 0 < fraction <= 1:
            raise PlanError(f"fraction must be above 0 and at most 1 (0.05 is 5 %); got {fraction}")
        training = self.fold(fold).training
        # A tolerance, or 0.35 * 90 + 1/2 and its like would fall just short of a whole number.
        return training[: max(1, math.floor(fraction * len(training) + 0.5 + 1e-9))]
