"""``run.json`` of a fine-tuning or a pre-training."""

from mixcl_auto.errors import RunError
from mixcl_auto.io.files import read_text, write_text
from mixcl_auto.io.workspace import FinetuneFolder, PretrainFolder
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


def mark_finished(folder: FinetuneFolder) -> FinetuneRun:
    """Say in ``run.json`` that the scores are there, and give the new record back."""
    run = read_finetune_run(folder).model_copy(update={"status": "finished"})
    write_text(folder.run, run.to_json())
    return run
