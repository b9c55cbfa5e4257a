"""The report on a plan."""

from pathlib import Path

from mixcl_auto.io.workspace import ReportFolder
from mixcl_auto.reporting.report import write_report
from mixcl_auto.workflows.inputs import Folder, open_project


def report(workspace: Folder = ".", *, plan: str | Path | None = None) -> ReportFolder:
    """Write the tables, figures and the page on everything that was run under a plan.

    Raises:
        PlanError: if there is no such plan.
    """
    project = open_project(workspace, plan)
    return write_report(project.workspace, project.plan, project.plan_name)
