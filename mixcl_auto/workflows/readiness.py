"""Whether data and machine are ready for preprocessing, and the errors that say why not."""

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path

from mixcl_auto.engines.cores import available_cores
from mixcl_auto.errors import DataError
from mixcl_auto.io.workspace import Workspace
from mixcl_auto.planning.plan import Planned
from mixcl_auto.preprocessing.preprocess import cached_cases
from mixcl_auto.records.case import RawDataset
from mixcl_auto.records.finding import Finding
from mixcl_auto.validation.resources import fitting_jobs, resource_findings

logger = logging.getLogger(__name__)


def judge_resources(
    workspace: Workspace,
    planned: Planned,
    datasets: Sequence[RawDataset],
    memory_gb: float | None,
    jobs: int | None,
) -> tuple[list[Finding], int]:
    """What speaks against preprocessing here, and how many cases to preprocess at once.

    Args:
        workspace: on the disk that gets the cache.
        planned: what to preprocess.
        datasets: where the files lie.
        memory_gb: of each machine that preprocesses, in GiB; not judged where it is not known.
        jobs: as the user wants; as many as cores and memory allow, if absent.
    """
    plan, fingerprints = planned.plan, planned.fingerprints
    cached = cached_cases(workspace, plan, datasets)
    cores = available_cores()
    if jobs is None:
        jobs = fitting_jobs(plan, fingerprints, memory_gb=memory_gb, jobs=cores, cached=cached)
        if jobs < cores:
            logger.info("preprocessing %d at once: the memory holds no more of the largest cases", jobs)
    free_bytes = shutil.disk_usage(workspace.root).free
    found = resource_findings(
        plan, fingerprints, free_disk_bytes=free_bytes, memory_gb=memory_gb, jobs=jobs, cached=cached
    )
    return found, jobs


def refuse_hopeless(plan: Path, resources: Sequence[Finding]) -> None:
    """Stop if the machine can't preprocess what was planned.

    Raises:
        DataError: with every reason.
    """
    reasons = [
        ", ".join(filter(None, (found.dataset, found.case))) + ": " * bool(found.dataset) + found.message
        for found in resources
        if found.severity == "error"
    ]
    if reasons:
        raise DataError("\n".join([f"nothing was preprocessed; the plan is {plan}", *reasons]))


def refuse_errors(workspace: Workspace, findings: Sequence[Finding]) -> None:
    """Stop if any finding is an error.

    Raises:
        DataError: with their number, the first of them, and what to do.
    """
    errors = [found for found in findings if found.severity == "error"]
    if errors:
        first = ", ".join(part for part in (errors[0].dataset, errors[0].case) if part)
        of_datasets = [found.dataset for found in errors if found.case is None]
        remedy = "correct them, or " + (
            f"take {', '.join(dict.fromkeys(of_datasets))} out of raw_data, or name the others with -d"
            if of_datasets
            else "leave the cases that have one out with --skip-invalid"
        )
        raise DataError(
            f"the raw data have {len(errors)} error(s), listed in {workspace.validation}; the first is\n"
            f"  {first}: {errors[0].message}\n{remedy}"
        )
