"""A held-out case in memory: its scan, its reference and the predictions that are shown beside it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mixcl_auto.errors import DataError
from mixcl_auto.io.case_files import image_volume, label_volume
from mixcl_auto.io.images import Volume, read_labels
from mixcl_auto.metrics.averaging import mean_per_case
from mixcl_auto.records.case import RawCase
from mixcl_auto.reporting.case_choice import CaseChoice
from mixcl_auto.reporting.grid import ScoredRun
from mixcl_auto.reporting.table_formats import figure_text, percent_text

REFERENCE = "reference"

LabelMap = NDArray[np.integer]


@dataclass(frozen=True)
class ShownCase:
    """All arrays (x, y, z) in RAS on the scan's own grid."""

    choice: CaseChoice
    image: Volume
    maps: Mapping[str, LabelMap]
    """The reference, if there is one, then the runs' predictions, by what they are called on the page."""
    organs: Mapping[int, str]
    """Label value to name."""

    @property
    def predictions(self) -> list[LabelMap]:
        """The maps without the reference."""
        return [labels for name, labels in self.maps.items() if name != REFERENCE]

    @property
    def organ_label(self) -> int | None:
        """The value of the organ that the choice is about, if it is about one."""
        return next((value for value, name in self.organs.items() if name == self.choice.organ), None)

    @cached_property
    def present(self) -> list[int]:
        """The label values that some map holds, ascending."""
        found = (np.flatnonzero(np.bincount(labels.ravel())) for labels in self.maps.values())
        return sorted({int(value) for values in found for value in values} - {0})

    @property
    def caption(self) -> str:
        """Which case this is and why it is shown."""
        run = self.choice.runs[0].run
        where = f"{percent_text(run.fraction)} of the labels, fold {run.fold}, seed {run.seed}"
        return f"{run.dataset}, case {self.choice.case} ({self.choice.reason}): {where}"


def load_case(choice: CaseChoice, raw: Mapping[str, RawCase]) -> ShownCase:
    """Read a chosen case.

    Args:
        choice: the case and the runs.
        raw: the target's raw cases by id.

    Raises:
        DataError: if the case is gone, a file can't be read, or its maps have another shape than its scan.
    """
    case = raw.get(choice.case)
    if case is None:
        raise DataError("it is no longer in the raw data")
    run = choice.runs[0].run
    image = image_volume(case)
    maps = {REFERENCE: label_volume(case).array} if case.label else {}
    for scored in choice.runs:
        maps[_title(scored, choice)] = read_labels(scored.folder.prediction(choice.case)).array
    if any(labels.shape != image.array.shape for labels in maps.values()):
        raise DataError("its label maps are not on the scan's grid")
    organs = {value: name for name, value in run.plan.dataset(run.dataset).labels.items()}
    return ShownCase(choice, image, maps, organs)


def about(case: ShownCase, choice: CaseChoice) -> ShownCase:
    """The same scan and predictions, shown for another reason."""
    maps = {name: labels for name, labels in case.maps.items() if name == REFERENCE}
    titles = [_title(scored, choice) for scored in choice.runs]
    return replace(case, choice=choice, maps=maps | dict(zip(titles, case.predictions, strict=True)))


def _title(scored: ScoredRun, choice: CaseChoice) -> str:
    """The initialisation with the Dice of the case, or of the organ that it was chosen for."""
    scores = [s for s in scored.scores if s.case == choice.case and choice.organ in (None, s.organ)]
    dice = mean_per_case((s.case, s.organ, s.dice) for s in scores).get(choice.case)
    return f"{scored.key.init}, Dice {'undefined' if dice is None else figure_text(dice, 3)}"
