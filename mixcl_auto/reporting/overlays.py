"""Held-out cases on the page: as pictures, and as volumes to scroll through."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mixcl_auto.errors import MixCLError
from mixcl_auto.io.raw_dataset import find_dataset
from mixcl_auto.io.workspace import ReportFolder, Workspace
from mixcl_auto.records.case import RawCase
from mixcl_auto.reporting.case_choice import choose_cases, choose_worst_per_organ
from mixcl_auto.reporting.case_figure import draw_case
from mixcl_auto.reporting.case_focus import find_focus
from mixcl_auto.reporting.grid import Grid
from mixcl_auto.reporting.shown_case import load_case
from mixcl_auto.reporting.viewer import ViewedCase, viewed_case


@dataclass(frozen=True)
class Picture:
    """A figure's file and what to say of it."""

    path: Path
    caption: str


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
    window_hu = grid.plan.preprocess.window_hu
    for number, choice in enumerate([*choices, *worst]):
        kind = "case" if choice.organ is None else "worst"
        try:
            case = load_case(choice, raw)
            focus = find_focus(case)
            path = draw_case(case, focus, window_hu, folder.figure(f"{kind}_{target}_{number}.png"))
        except MixCLError as problem:
            found.notes.append(f"{target}: Case {choice.case} could not be drawn: {problem}.")
            continue
        if choice.organ is None:
            found.viewed.append(viewed_case(case, focus, window_hu))
            found.ranked.append(Picture(path, f"{case.caption}."))
        else:
            found.worst.append(Picture(path, f"{case.caption}."))
