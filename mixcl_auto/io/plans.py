"""Plans and the files they name by hash: fingerprints and splits."""

import shutil
from pathlib import Path
from typing import TypeVar

from mixcl_auto.errors import MixCLError, PlanError
from mixcl_auto.io.files import read_text, replacing, write_text
from mixcl_auto.io.json_keys import parse_json
from mixcl_auto.io.workspace import Workspace
from mixcl_auto.records.fingerprint import DatasetFingerprint
from mixcl_auto.records.plan import DatasetPlan, Plan
from mixcl_auto.records.record import Record, content_hash
from mixcl_auto.records.split import DatasetSplit

AnyRecord = TypeVar("AnyRecord", bound=Record)

_PLAN_AGAIN = "run `mixcl_auto plan_and_preprocess` again"


def find_plan(workspace: Workspace, name_or_path: str | None = None) -> Path:
    """The plan meant by ``-p``: a path, or a file of that name or stem under ``plans/``.

    Args:
        workspace: where to look.
        name_or_path: ``plans/plan.json`` where absent.

    Raises:
        PlanError: if there is none; the message lists those there are.
    """
    name = name_or_path or "plan"
    stem = name.removesuffix(".json")
    candidates = [Path(name)] if name_or_path else []
    if Path(name).name == name:
        candidates.append(workspace.plan(stem))
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    known = ", ".join(sorted(path.name for path in workspace.plans.glob("*.json"))) or "none"
    raise PlanError(
        f"no plan {name!r} as a path or under {workspace.plans} (there: {known}); "
        "make one with `mixcl_auto plan_and_preprocess`"
    )


def read_plan(path: Path) -> Plan:
    """Read a plan, reporting all its mistakes at once.

    Raises:
        DataError: if the file can't be read.
        PlanError: if it is malformed, or a key stands twice.
    """
    text = read_text(path, what="plan", remedy=_PLAN_AGAIN)
    plan = Plan.from_json(text, source=str(path), error=PlanError)
    if twice := parse_json(text)[1]:
        raise PlanError(f"{path}: keys given twice: {twice}; keep one of each")
    return plan


def write_plan(path: Path, plan: Plan) -> None:
    """Write a plan."""
    write_text(path, plan.to_json())


def keep_other_plan(path: Path, plan: Plan) -> Path | None:
    """Keep what a plan is about to replace, such as edits by hand, as ``<name>.before.json`` beside it.

    Args:
        path: of the plan to be written.
        plan: the new one; decisions and warnings alone make no other plan.

    Returns:
        Where the old file is kept; absent if there is none, or if it says the same.
    """
    if not path.is_file() or _is_recipe(path, plan):
        return None
    kept = path.with_name(f"{path.stem}.before.json")
    with replacing(kept) as temporary:
        shutil.copyfile(path, temporary)
    return kept


def _is_recipe(path: Path, plan: Plan) -> bool:
    """Whether a file holds a plan's recipe; a malformed one does not."""
    notes: dict[str, tuple[()]] = {"decisions": (), "warnings": ()}
    try:
        return read_plan(path).model_copy(update=notes) == plan.model_copy(update=notes)
    except MixCLError:
        return False


def write_fingerprint(workspace: Workspace, fingerprint: DatasetFingerprint) -> str:
    """Write a dataset's fingerprint; another one is kept beside it, for the plans that rest on that.

    Returns:
        Its content hash, for the plan.
    """
    return _write_named(workspace.fingerprint(fingerprint.dataset), fingerprint)


def write_split(workspace: Workspace, split: DatasetSplit) -> str:
    """Write a dataset's folds; others are kept beside them, as fingerprints are.

    Returns:
        Their content hash, for the plan.
    """
    return _write_named(workspace.split(split.dataset), split)


def read_fingerprint(workspace: Workspace, dataset: DatasetPlan) -> DatasetFingerprint:
    """Read the fingerprint that a plan rests on.

    Raises:
        DataError: if the file can't be read.
        PlanError: if it is malformed, or is not the one that the plan names.
    """
    return _read_named(workspace.fingerprint(dataset.name), DatasetFingerprint, dataset.fingerprint)


def read_split(workspace: Workspace, dataset: DatasetPlan) -> DatasetSplit:
    """Read the folds that a plan rests on.

    Raises:
        DataError: if the file can't be read.
        PlanError: if the dataset is no target, or the file is malformed or not the one that the plan names.
    """
    if dataset.split is None:
        raise PlanError(f"{dataset.name} has no folds: its role is {dataset.role!r}; plan it as a target")
    return _read_named(workspace.split(dataset.name), DatasetSplit, dataset.split)


def _write_named(path: Path, record: Record) -> str:
    """Write a record; another one that was there is kept beside it."""
    written = content_hash(record)
    if path.is_file():
        before = path.read_bytes()
        try:
            replaced = content_hash(type(record).from_json(before.decode(), source=str(path)))
        except (MixCLError, UnicodeDecodeError):
            replaced = written  # no plan can rest on a malformed file
        if replaced != written and not _earlier(path, replaced).is_file():
            write_text(_earlier(path, replaced), before.decode())
    write_text(path, record.to_json())
    return written


def _earlier(path: Path, record_hash: str) -> Path:
    """Where what a later planning replaced is kept."""
    return path.with_name(f"{path.stem}.{record_hash}.json")


def _read_named(path: Path, kind: type[AnyRecord], expected: str) -> AnyRecord:
    kept = _earlier(path, expected)
    path = kept if kept.is_file() else path
    text = read_text(path, what="file of the plan", remedy=_PLAN_AGAIN)
    record = kind.from_json(text, source=str(path), error=PlanError)
    if (found := content_hash(record)) != expected:
        raise PlanError(
            f"{path}: the file changed after the plan was made (hash {found}, the plan names {expected}); "
            f"restore it or {_PLAN_AGAIN}"
        )
    return record
