"""``run.json`` of a fine-tuning or a pre-training, and ``failed.json`` beside it."""

from mixcl_auto.errors import MixCLError, RunError
from mixcl_auto.io.files import read_text, write_text
from mixcl_auto.io.workspace import FinetuneFolder, PretrainFolder, RunFolder
from mixcl_auto.records.failure import Failure
from mixcl_auto.records.run import FinetuneRun, PretrainRun


def read_finetune_run(folder: FinetuneFolder) -> FinetuneRun:
    """Read what a fine-tuning was.

    Raises:
        DataError: if nothing ran in the folder.
        RunError: if the record is malformed.
    """
    text = read_text(folder.run, what="fine-tuning", remedy="run `mixcl_auto finetune` first")
    return FinetuneRun.from_json(text, source=str(folder.run), error=RunError)


def read_pretrain_run(folder: PretrainFolder) -> PretrainRun:
    """Read what a pre-training was.

    Raises:
        DataError: if nothing ran in the folder.
        RunError: if the record is malformed.
    """
    text = read_text(folder.run, what="pre-training", remedy="run `mixcl_auto pretrain` first")
    return PretrainRun.from_json(text, source=str(folder.run), error=RunError)


def read_failure(folder: RunFolder) -> Failure | None:
    """Why a run was given up; absent if it was not, or if nobody can tell.

    The file is a note for people: whoever starts the run again removes it, at any moment.
    """
    try:
        text = read_text(folder.failure, what="note of a failure", remedy="remove it")
        return Failure.from_json(text, source=str(folder.failure))
    except MixCLError:
        return None


def mark_finished(folder: FinetuneFolder) -> FinetuneRun:
    """Say in ``run.json`` that the scores are there, and give the new record back."""
    run = read_finetune_run(folder).model_copy(update={"status": "finished"})
    write_text(folder.run, run.to_json())
    return run
