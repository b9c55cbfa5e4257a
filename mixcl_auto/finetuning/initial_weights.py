"""``--init``: which weights the encoder starts from."""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mixcl_auto.errors import RunError, WeightsError
from mixcl_auto.finetuning.weights_notes import Method, WeightsNotes, read_notes
from mixcl_auto.io.checkpoints import load_weights
from mixcl_auto.io.files import file_sha256
from mixcl_auto.io.runs import read_pretrain_run
from mixcl_auto.io.workspace import WEIGHTS_SUFFIXES, PretrainFolder, Workspace
from mixcl_auto.networks.backbone import Backbone
from mixcl_auto.networks.bias import set_output_bias
from mixcl_auto.networks.initialise import initialise
from mixcl_auto.networks.transfer import load_encoder
from mixcl_auto.records.names import is_pretraining_name, random_draw
from mixcl_auto.records.plan import Plan
from mixcl_auto.records.plan_fields import MIXCL, SCRATCH, SUPERVISED
from mixcl_auto.records.run import LoadedWeights
from mixcl_auto.training.networks import build_network

logger = logging.getLogger(__name__)

_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_OR_SCRATCH = (
    "start from random weights with `--init scratch` (or scratch-2, scratch-3, ... for another draw)"
)


@dataclass(frozen=True)
class Init:
    """Where the initial weights come from.

    Attributes:
        name: in paths and reports.
        file: the encoder's; absent for random weights.
        sha256: of the file.
        source: the pre-training's name, or the file as given.
        without: terms that the pre-training left out.
        method: of the pre-training; ``unknown`` for weights from elsewhere.
        pool: the datasets that the pre-training saw; empty where that is not recorded.
        dataset: what the file's weights were fine-tuned on; absent where that is not recorded.
        redraw: 0, or n - 1 for ``scratch-n``, another random initialisation with the same batches: the
            control that says how much a redraw alone changes.
    """

    name: str
    file: Path | None = None
    sha256: str | None = None
    source: str = ""
    without: tuple[str, ...] = ()
    method: Method = "mixcl"
    pool: tuple[str, ...] = ()
    dataset: str | None = None
    redraw: int = 0


def find_init(workspace: Workspace, plan_name: str, init: str) -> Init:
    """What ``--init`` means: ``scratch``, ``scratch-2``, ``scratch-slow``, a weights file, or a pre-training.

    Raises:
        RunError: if there is no such pre-training, or it is not finished; the message says which there are.
        WeightsError: if what a weights file says of itself can't be understood.
    """
    if (redraw := random_draw(init)) is not None:
        return Init(init, redraw=redraw)
    if init.endswith(WEIGHTS_SUFFIXES):
        return _find_file(workspace, plan_name, Path(init))
    if Path(init).name != init or Path(init).is_file():
        raise RunError(
            f"--init {init}: write scratch, the name of a pre-training, or a weights file "
            f"({', '.join(WEIGHTS_SUFFIXES)})"
        )
    folder = find_pretraining(workspace, plan_name, init, otherwise=_OR_SCRATCH)
    made = read_pretrain_run(folder).plan
    return Init(
        init,
        folder.encoder,
        file_sha256(folder.encoder),
        source=init,
        without=made.pretrain.without,
        method=made.pretrain.method,
        pool=tuple(dataset.name for dataset in made.pool),
    )


def start_network(
    plan: Plan, init: Init, *, fold: int, class_count: int, label_voxels: Sequence[int]
) -> tuple[Backbone, LoadedWeights | None]:
    """Build the segmenter; all arms of a fold start from the same weights but for the encoder's.

    Each fold draws its own, so that the spread over folds holds what the draw does: with one draw for all of
    them, ``scratch-2`` minus ``scratch`` came out as a difference beyond chance.

    Args:
        plan: network, seed and ``output_bias``.
        init: where the encoder's weights come from.
        fold: of the run.
        class_count: output channels.
        label_voxels: voxels of each class in the training cases, background first.

    Returns:
        The network on the CPU, and what was loaded.

    Raises:
        WeightsError: if the file does not fit the network.
    """
    draw = np.random.SeedSequence((plan.finetune.seed, fold, init.redraw))
    seed = int(draw.generate_state(1)[0])
    network = initialise(lambda: build_network(plan.network, out_channels=class_count), seed)
    if plan.finetune.output_bias == "log_frequency":
        set_output_bias(network, label_voxels)
    return network, load_init(network, init, plan, whole=False)


def load_init(network: Backbone, init: Init, plan: Plan, *, whole: bool = True) -> LoadedWeights | None:
    """Bring an encoder's weights into a network of the plan; random ones stay as they are.

    Args:
        network: changed in place.
        init: where the weights come from.
        plan: of the network.
        whole: the encoder as it was pre-trained, with what it does not hand on to a fine-tuning.

    Returns:
        What was loaded; absent where ``init`` has no file.

    Raises:
        WeightsError: if the file does not fit the network.
    """
    if init.file is None:
        return None
    notes = read_notes(init.file)
    _compare_recipes(init.file, notes, plan)
    keep = () if whole or notes.hands_on_level_0 else network.own_tensors(0)
    try:
        report = load_encoder(network, load_weights(init.file), position_grid=notes.position_grid, keep=keep)
    except WeightsError as problem:
        named = str(problem).startswith(str(init.file))
        raise WeightsError(str(problem) if named else f"{init.file}: {problem}") from None
    logger.info(
        "loaded %d of %d encoder tensors from %s",
        len(report.loaded),
        len(network.encoder_state_dict()),
        init.file,
    )
    if keep:
        logger.info("level 0 starts random: its pre-training hands on the other levels")
    if report.kept:
        logger.warning(
            "%s: a ViT alone; %d tensors of the encoder's convolutions stay random",
            init.file,
            len(report.kept),
        )
    return LoadedWeights(
        source=init.source,
        sha256=init.sha256 or file_sha256(init.file),
        loaded=report.loaded,
        interpolated=report.interpolated,
        ignored=report.ignored,
        dataset=init.dataset,
        pool=init.pool,
    )


def _find_file(workspace: Workspace, plan_name: str, file: Path) -> Init:
    """A weights file, which names the results: so it may not be called as something else is."""
    if not file.is_file():
        raise RunError(f"--init {file}: no such weights file")
    if not _FILE_NAME.fullmatch(file.stem):
        raise RunError(
            f"--init {str(file)!r}: results are named after the file, and {file.stem!r} can't be their name; "
            "rename it: letters, digits, '.', '_' and '-', a letter or digit first"
        )
    if file.stem.lower().startswith(SCRATCH):
        raise RunError(f"--init {file}: results would be taken for random weights; rename the file")
    sha256 = file_sha256(file)
    namesake = workspace.pretrain(plan_name, file.stem)
    if namesake.run.is_file() and read_pretrain_run(namesake).encoder_sha256 != sha256:
        raise RunError(
            f"--init {file}: results would be taken for those of the plan's pre-training {file.stem!r}, "
            "which has other weights; rename the file"
        )
    notes = read_notes(file)
    return Init(
        file.stem,
        file,
        sha256,
        str(file),
        notes.without,
        notes.method,
        pool=notes.pool,
        dataset=notes.dataset,
    )


def find_pretraining(
    workspace: Workspace, plan_name: str, name: str, *, otherwise: str = ""
) -> PretrainFolder:
    """The folder of a finished pre-training, its encoder as it was written.

    Args:
        workspace: where to look.
        plan_name: of the plan that it ran under.
        name: of the pre-training.
        otherwise: what else the user may do where there is none.

    Raises:
        RunError: if there is no such pre-training, it is not finished, or its encoder is gone or another; the
            message says which there are.
    """
    runs = {run.path.name: run for run in workspace.pretrain_runs(plan_name)}
    if name not in runs:
        known = ", ".join(runs) or "none"
        first = f"run `{_pretrain_command(plan_name, name)}` first" if is_pretraining_name(name) else ""
        ways_out = ", or ".join(filter(None, (first, otherwise))) or "name one of them"
        raise RunError(f"plan {plan_name!r} has no pre-training {name!r} (there: {known}); {ways_out}")
    folder = runs[name]
    run = read_pretrain_run(folder)
    if run.status != "finished":
        raise RunError(
            f"{folder.path}: the pre-training is not finished; run `{_pretrain_command(plan_name, name)}` to "
            "go on with it (with its --method, --set and --without, if it had any)"
            + (f", or {otherwise}" if otherwise else "")
        )
    if not folder.encoder.is_file():
        raise RunError(
            f"{folder.path} holds no {folder.encoder.name}; put the file back, or run "
            f"`{_pretrain_command(plan_name, name)}` again"
        )
    sha256 = file_sha256(folder.encoder)
    if run.encoder_sha256 not in (None, sha256):
        raise RunError(
            f"{folder.encoder}: not the file that the pre-training wrote (its SHA-256 is another); restore "
            "it, or remove the folder and pre-train again"
        )
    return folder


def _pretrain_command(plan_name: str, name: str) -> str:
    options = {MIXCL: "", SUPERVISED: f" --method {SUPERVISED}"}
    return f"mixcl_auto pretrain -p {plan_name}.json" + options.get(name, f" --name {name}")


def _compare_recipes(file: Path, notes: WeightsNotes, plan: Plan) -> None:
    """Refuse another number of heads, which no shape betrays; warn of another grid or window."""
    if notes.heads not in (None, plan.network.heads):
        raise WeightsError(
            f"{file}: trained with {notes.heads} attention heads, network.heads is {plan.network.heads}; the "
            "shapes agree, what the weights mean does not: set network.heads to the file's"
        )
    for key in ("spacing_mm", "window_hu"):
        now, before = list(getattr(plan.preprocess, key)), getattr(notes, key)
        if before is not None and list(before) != now:
            logger.warning("%s: pre-trained at %s %s, the plan has %s", file, key, list(before), now)
