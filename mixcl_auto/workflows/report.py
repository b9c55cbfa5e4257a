"""The report on a plan."""

from pathlib import Path

from mixcl_auto.io.workspace import ReportFolder
from mixcl_auto.reporting.report import write_report
from mixcl_auto.workflows.inputs import Folder, open_project


def report(
    workspace: Folder = ".", *, plan: str | Path | None = None, with_paper: bool = False
) -> ReportFolder:
    """Write the tables, figures and the page on everything that was run under a plan.

    Args:
        workspace: with the results.
        plan: its name or path.
        with_paper: put the paper's published Dice beside ours where a target is MSD Spleen or BTCV.

    Raises:
        PlanError: if there is no such plan.
    """
    project = open_project(workspace, plan)
    return write_report(project.workspace, project.plan, project.plan_name, with_paper=with_paper)
