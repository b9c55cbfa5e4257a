"""What linear probes read out of the encoders' levels, before any fine-tuning."""

from collections.abc import Iterator, Sequence

from mixcl_auto.errors import MixCLError
from mixcl_auto.io.probes import read_probe
from mixcl_auto.io.runs import read_pretrain_run
from mixcl_auto.io.workspace import Workspace
from mixcl_auto.records.plan import Plan
from mixcl_auto.records.probe import UNTRAINED, LevelProbe, ProbedClass, ProbeResult, recipe_hash
from mixcl_auto.reporting.table_formats import NONE, Table, Value, figure_text, signed_text

_NOTE = (
    "A linear classifier tells the organ at a voxel from the frozen encoder's channels there; it is fitted "
    "on the fold's training cases and tested on its held-out cases, on the same voxels for every encoder. "
    "Accuracy: mean recall over the classes that have held-out voxels, the background included; chance is "
    "one over their number. Gain: minus the accuracy of the network with random weights. In brackets: "
    "held-out voxels of the class; figures of few are noisy. Rank: effective rank of the channels' "
    "covariance, as a share of the channels. Spread: of the channels of rows of unit length, 1 if even, 0 if "
    "collapsed. Place: share of the map's variance that the place in the patch says by itself, 0 if the map "
    "depends on the image alone, 1 if it is the same for all patches. Encoders are probed as pre-trained, "
    "level 0 too where a fine-tuning does not take it over (pretrain.hand_on_level_0)."
)


def collect_probes(
    workspace: Workspace, plan: Plan, plan_name: str
) -> tuple[list[ProbeResult], tuple[str, ...]]:
    """What was probed under a plan, by target, fold and init, random weights first.

    Results of another recipe than the plan's, or of weights that a pre-training no longer has, are left out.

    Args:
        workspace: with the results.
        plan: that they must have been measured under.
        plan_name: stem of the plan's file.

    Returns:
        The results, and what is wrong with files that can't be read.
    """
    found: list[ProbeResult] = []
    problems: list[str] = []
    for path in workspace.probes(plan_name):
        try:
            result = read_probe(path)
            if _is_current(workspace, plan, plan_name, result):
                found.append(result)
        except MixCLError as problem:
            problems.append(str(problem))
    order = sorted(found, key=lambda one: (one.dataset, one.fold, one.init != UNTRAINED, one.init))
    return order, tuple(problems)


def probe_table(results: Sequence[ProbeResult]) -> Table | None:
    """Every probed encoder by level: accuracy, gain over random weights, recalls, rank, spread and place.

    Returns:
        The table; absent where nothing was probed.
    """
    if not results:
        return None
    classes = list(dict.fromkeys(one.name for result in results for one in result.levels[0].classes))
    baselines = {
        (result.dataset, result.fold, level.level): level.balanced_accuracy
        for result in results
        if result.init == UNTRAINED
        for level in result.levels
    }
    rows: list[tuple[str, ...]] = []
    data: list[dict[str, Value]] = []
    for result, level in _levels(results):
        gain = _gain(result, level, baselines.get((result.dataset, result.fold, level.level)))
        rows.append(_row(result, level, gain, classes))
        data.append(_values(result, level, gain, classes))
    return Table(
        name="probes",
        title="Linear probes of the encoders' levels",
        note=_NOTE,
        columns=(
            *("Target", "Fold", "Init", "Level", "Accuracy", "Chance", "Gain"),
            *(f"Recall: {name}" for name in classes),
            *("Rank", "Spread", "Place"),
        ),
        rows=tuple(rows),
        data=tuple(data),
        text_columns=4,
        block_columns=3,
    )


def _is_current(workspace: Workspace, plan: Plan, plan_name: str, result: ProbeResult) -> bool:
    """Whether a result is of the plan as it is, and of a pre-training as it is."""
    if result.dataset not in (target.name for target in plan.targets):
        return False
    recipe = recipe_hash(
        plan,
        result.dataset,
        fold=result.fold,
        settings=result.settings,
        weights_sha256=result.weights_sha256,
    )
    if recipe != result.recipe_hash:
        return False
    pretraining = workspace.pretrain(plan_name, result.init)
    return not pretraining.run.is_file() or (
        read_pretrain_run(pretraining).encoder_sha256 == result.weights_sha256
    )


def _levels(results: Sequence[ProbeResult]) -> Iterator[tuple[ProbeResult, LevelProbe]]:
    return ((result, level) for result in results for level in result.levels)


def _gain(result: ProbeResult, level: LevelProbe, baseline: float | None) -> float | None:
    if result.init == UNTRAINED or baseline is None or level.balanced_accuracy is None:
        return None
    return level.balanced_accuracy - baseline


def _row(
    result: ProbeResult, level: LevelProbe, gain: float | None, classes: Sequence[str]
) -> tuple[str, ...]:
    found = {one.name: one for one in level.classes}
    accuracy = level.balanced_accuracy
    return (
        result.dataset,
        str(result.fold),
        result.init,
        str(level.level),
        NONE if accuracy is None else figure_text(accuracy, 3),
        figure_text(level.chance, 3),
        NONE if gain is None else signed_text(gain, 3),
        *(_recall_text(found.get(name)) for name in classes),
        figure_text(level.effective_rank_share, 3),
        figure_text(level.channel_spread, 3),
        NONE if level.position_share is None else figure_text(level.position_share, 3),
    )


def _recall_text(found: ProbedClass | None) -> str:
    if found is None or found.recall is None:
        return NONE
    return f"{figure_text(found.recall, 3)} ({found.held_out_voxels})"


def _values(
    result: ProbeResult, level: LevelProbe, gain: float | None, classes: Sequence[str]
) -> dict[str, Value]:
    return {
        "target": result.dataset,
        "fold": result.fold,
        "init": result.init,
        "level": level.level,
        "balanced_accuracy": level.balanced_accuracy,
        "chance": level.chance,
        "gain": gain,
        **{f"recall_{name}": level.recall(name) for name in classes},
        **{f"held_out_voxels_{one.name}": one.held_out_voxels for one in level.classes},
        "channels": level.channels,
        "effective_rank": level.effective_rank,
        "channel_spread": level.channel_spread,
        "position_share": level.position_share,
        "training_voxels": level.training_voxels,
        "held_out_voxels": level.held_out_voxels,
    }
