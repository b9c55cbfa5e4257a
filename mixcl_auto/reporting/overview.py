"""What was run, on what and by what, as tables of the page."""

from collections.abc import Iterable

from mixcl_auto.records.fingerprint import DatasetFingerprint
from mixcl_auto.records.plan import Plan
from mixcl_auto.records.plan_fields import MIXCL
from mixcl_auto.reporting.grid import Grid, RunKey
from mixcl_auto.reporting.table_formats import Table, percent_text
from mixcl_auto.reporting.tables import TERMS
from mixcl_auto.training.earlier_runs import WITHOUT_EFFECT, pretraining_differences

MissingRow = tuple[str, str, str, str, str]


def missing_rows(grid: Grid) -> list[MissingRow]:
    """Expected or started runs that do not count, alike ones joined.

    Returns:
        Target, initialisation, share of labels, folds (with seeds), state.
    """
    states = {run.key: run.state for run in grid.unfinished}
    arms = {arm: place for place, arm in enumerate(dict.fromkeys(key[:3] for key in grid.expected))}
    keys = sorted(
        {*grid.missing, *(run.key for run in grid.unfinished)},
        key=lambda key: (arms.get(key[:3], len(arms)), *key),
    )
    groups: dict[tuple[str, str, float, str], list[RunKey]] = {}
    for key in keys:
        state = states.get(key, "not started")
        groups.setdefault((key.dataset, key.init, key.fraction, state), []).append(key)
    return [
        (dataset, init, percent_text(fraction), _units(members), state)
        for (dataset, init, fraction, state), members in groups.items()
    ]


def shortfall(grid: Grid) -> str:
    """How many runs are missing and files not counted, in a line; empty if none is."""
    said = []
    if grid.missing:
        said.append(f"{len(grid.missing)} of {len(grid.expected)} expected runs are missing")
    if count := len(grid.problems):
        said.append(f"{count} {'file' if count == 1 else 'files'} not counted")
    return f"{', '.join(said)}: see the page" if said else ""


def pretraining_table(grid: Grid) -> Table:
    """The pre-trainings with their methods, what they minimised, and fields that are not the plan's."""
    rows = []
    for started in grid.pretrainings:
        run, section = started.run, started.run.plan.pretrain
        terms = [term for term in TERMS if term not in section.without]
        if section.method != MIXCL:
            terms = ["Dice", "cross-entropy"]
        state = "finished" if run.status == "finished" else "in training or stopped"
        counts = (str(run.iterations), str(section.batch_size), f"{run.parameters / 1e6:.1f} M")
        unlike = _unlike(grid.plan, run.plan)
        rows.append((run.name, section.method, ", ".join(terms), unlike, state, *counts))
    columns = ("Name", "Method", "Terms", "Unlike the plan", "State", "Iterations", "Batch", "Parameters")
    return _plain("Pre-trainings", columns, rows, names=5)


def environment_table(grid: Grid) -> Table:
    """The software and machines of all runs, alike ones counted."""
    counts: dict[tuple[str, ...], int] = {}
    runs = [("pre-training", started.run.environment) for started in grid.pretrainings]
    runs += [("fine-tuning", scored.run.environment) for scored in grid.finished]
    for stage, used in runs:
        row = (
            stage,
            used.device,
            used.precision,
            str(used.processes),
            str(used.threads),
            f"mixcl_auto {used.mixcl_auto}, torch {used.torch}, Python {used.python}",
        )
        counts[row] = counts.get(row, 0) + 1
    rows = [(*row, str(count)) for row, count in sorted(counts.items())]
    columns = ("Stage", "Device", "Precision", "Processes", "Threads", "Software", "Runs")
    return _plain("Machines and software", columns, rows, names=6)


def dataset_table(plan: Plan) -> Table:
    """The planned datasets."""
    rows = [
        (d.name, d.role, str(len(d.cases)), str(len(d.left_out)), ", ".join(d.labels)) for d in plan.datasets
    ]
    return _plain("Datasets", ("Dataset", "Role", "Cases", "Left out", "Organs"), rows, names=5)


def fingerprint_table(fingerprints: Iterable[DatasetFingerprint]) -> Table:
    """What planning measured in each dataset."""
    rows = []
    for found in fingerprints:
        orientations = sorted({case.orientation for case in found.cases})
        values = found.foreground
        intensities = "-"
        if values is not None:
            ends = f"{values.percentile_00_5:.0f} to {values.percentile_99_5:.0f}"
            intensities = f"{values.median:.0f} ({ends})"
        rows.append(
            (
                found.dataset,
                str(len({case.patient for case in found.cases})),
                ", ".join(orientations),
                " x ".join(f"{side:.0f}" for side in found.median_shape),
                " x ".join(f"{side:.2f}" for side in found.median_spacing_mm),
                intensities,
            )
        )
    columns = (
        *("Dataset", "Patients", "Orientation", "Median size (voxels)", "Median spacing (mm)"),
        "Labelled voxels: median (0.5-99.5 %)",
    )
    return _plain("Fingerprints", columns, rows, names=6)


def decision_table(plan: Plan) -> Table:
    """What the planner decided, and why."""
    rows = [(decision.field, decision.value, decision.rule, decision.reason) for decision in plan.decisions]
    return _plain("Decisions of the planner", ("Field", "Value", "Rule", "Reason"), rows, names=4)


def _unlike(planned: Plan, used: Plan) -> str:
    """What of a pre-training is not as planned, but for what has columns: fields, then network and pool."""
    before, now = planned.pretrain.model_dump(mode="json"), used.pretrain.model_dump(mode="json")
    own = {"method", "without", "iterations", "batch_size"} | WITHOUT_EFFECT
    fields = [f"{name}={now[name]}" for name in now if name not in own and now[name] != before[name]]
    others = pretraining_differences(used, planned, ("preprocess", "network"))
    return "; ".join(filter(None, (", ".join(fields), *others)))


def _plain(title: str, columns: tuple[str, ...], rows: Iterable[tuple[str, ...]], *, names: int) -> Table:
    name = title.lower().replace(" ", "_")
    return Table(name, title, "", columns, tuple(rows), (), text_columns=names)


def _units(keys: Iterable[RunKey]) -> str:
    """Folds, each with its seeds: ``0 (0, 1), 3 (0)``; without seeds where all are 0."""
    folds: dict[int, list[int]] = {}
    for key in keys:
        folds.setdefault(key.fold, []).append(key.seed)
    if all(seeds == [0] for seeds in folds.values()):
        return ", ".join(map(str, folds))
    return ", ".join(f"{fold} ({', '.join(map(str, seeds))})" for fold, seeds in folds.items())
