"""Held-out cases on the page: as pictures, and as volumes to scroll through."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mixcl_auto.errors import MixCLError
from mixcl_auto.io.raw_dataset import find_dataset
from mixcl_auto.io.workspace import ReportFolder, Workspace
from mixcl_auto.records.case import RawCase
from mixcl_auto.reporting.case_choice import CaseChoice, choose_cases, choose_worst_per_organ
from mixcl_auto.reporting.case_figure import draw_case
from mixcl_auto.reporting.case_focus import find_focus
from mixcl_auto.reporting.grid import Grid, RunKey
from mixcl_auto.reporting.shown_case import ShownCase, about, load_case
from mixcl_auto.reporting.viewer import ViewedCase, viewed_case


@dataclass(frozen=True)
class Picture:
    """A figure's file and what to say of it."""

    path: Path
    caption: str


@dataclass(frozen=True)
class DrawnCase:
    """A chosen case as a picture, and as a volume if it is one of the ranked."""

    picture: Picture
    viewed: ViewedCase | None


@dataclass
class CasePictures:
    """What the page shows of the held-out cases of its targets."""

    ranked: list[Picture] = field(default_factory=list)
    """Lowest, median and highest difference."""
    worst: list[Picture] = field(default_factory=list)
    """The worst case of each organ."""
    viewed: list[ViewedCase] = field(default_factory=list)
    """The cases of ``ranked`` as volumes."""
    notes: list[str] = field(default_factory=list)
    """Why there are none or fewer."""


def draw_target_cases(
    workspace: Workspace, grid: Grid, target: str, folder: ReportFolder, found: CasePictures
) -> None:
    """Draw the chosen cases of a target; what can't be drawn is noted.

    Args:
        workspace: with the raw data.
        grid: of the plan.
        target: dataset.
        folder: of the report.
        found: is added to.
    """
    choices, worst = choose_cases(grid, target), choose_worst_per_organ(grid, target)
    if not choices:
        found.notes.append(f"{target}: No run of this target kept its predictions here.")
        return
    try:
        raw: Mapping[str, RawCase] = {c.id: c for c in find_dataset(workspace.raw_data, target).cases}
    except MixCLError:
        found.notes.append(
            f"{target}: The raw data are not here, so there is nothing to draw the predictions on."
        )
        return
    drawn: dict[int, DrawnCase] = {}
    for group in _same_files([*choices, *worst]):
        try:
            first = load_case(group[0][1], raw)
        except MixCLError as problem:
            found.notes.append(f"{target}: Case {group[0][1].case} could not be drawn: {problem}.")
            continue
        for number, choice in group:
            drawn[number] = _draw(about(first, choice), grid, folder, number)
    for _, one in sorted(drawn.items()):
        if one.viewed is None:
            found.worst.append(one.picture)
        else:
            found.ranked.append(one.picture)
            found.viewed.append(one.viewed)


def _same_files(choices: Sequence[CaseChoice]) -> Iterable[list[tuple[int, CaseChoice]]]:
    """The choices with their places, those of one case and its runs together: large scans are read once."""
    groups: dict[tuple[str, tuple[RunKey, ...]], list[tuple[int, CaseChoice]]] = {}
    for number, choice in enumerate(choices):
        key = (choice.case, tuple(run.key for run in choice.runs))
        groups.setdefault(key, []).append((number, choice))
    return groups.values()


def _draw(case: ShownCase, grid: Grid, folder: ReportFolder, number: int) -> DrawnCase:
    focus, window_hu = find_focus(case), grid.plan.preprocess.window_hu
    ranked = case.choice.organ is None
    name = f"{'case' if ranked else 'worst'}_{case.choice.runs[0].key.dataset}_{number}.png"
    picture = Picture(draw_case(case, focus, window_hu, folder.figure(name)), f"{case.caption}.")
    return DrawnCase(picture, viewed_case(case, focus, window_hu) if ranked else None)
