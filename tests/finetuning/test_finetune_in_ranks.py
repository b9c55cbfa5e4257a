"""Fine-tuning by two processes: the same result as by one, written by the first alone."""

import csv
import math
import sys
from pathlib import Path

import pytest
import torch
from cached_phantoms import TARGET, edited
from rank_processes import run_in_ranks

from mixcl_auto.distributed.launch import read_launch
from mixcl_auto.distributed.process_group import open_ranks
from mixcl_auto.errors import RunError
from mixcl_auto.finetuning.finetune import finetune
from mixcl_auto.io.checkpoints import load_weights
from mixcl_auto.io.workspace import FinetuneFolder, Workspace
from mixcl_auto.records.plan import Plan

Cached = tuple[Workspace, Plan]
CPU = torch.device("cpu")
SETTINGS = {"dataset": TARGET, "fold": 0, "fraction": 0.5, "init": "scratch", "device": "cpu"}


def train_in_a_rank(workspace: Workspace, plan: Plan, name: str, stop_at: int | None) -> list[str]:
    """Train, and list what this process wrote or moved under the workspace."""
    written: list[str] = []

    def note(event: str, arguments: tuple[object, ...]) -> None:
        changes = event in ("os.rename", "os.remove", "os.mkdir")
        writes = event == "open" and str(arguments[1] or "r")[0] in "wax"
        if (changes or writes) and str(arguments[0]).startswith(str(workspace.results)):
            written.append(f"{event} {arguments[0]}")

    sys.addaudithook(note)
    with open_ranks(read_launch(), CPU) as ranks:
        finetune(workspace, plan, name, **SETTINGS, ranks=ranks, stop_at=stop_at)
    return written


def error_in_a_rank(workspace: Workspace, plan: Plan, name: str) -> str:
    with open_ranks(read_launch(), CPU) as ranks:
        try:
            finetune(workspace, plan, name, **SETTINGS, ranks=ranks)
        except RunError as problem:
            return str(problem)
    return "nothing"


def folder_of(workspace: Workspace, name: str) -> FinetuneFolder:
    return workspace.finetune(name, TARGET, "scratch", 0.5, 0, 0)


def assert_same_log_but_for_rounding(first: FinetuneFolder, second: FinetuneFolder) -> None:
    """Losses and gradients of every step; AdamW lets rounding grow in the weights themselves."""
    logs = [list(csv.DictReader(folder.log.open())) for folder in (first, second)]
    assert [len(log) for log in logs] == [5, 5]
    for number, (row, other) in enumerate(zip(*logs, strict=True)):
        for column in row:
            tolerance = 1e-5 if number == 0 else 1e-2 if column == "gradient_norm" else 1e-3
            assert math.isclose(float(row[column]), float(other[column]), rel_tol=tolerance), (number, column)
    assert load_weights(first.weights).keys() == load_weights(second.weights).keys()


@pytest.fixture(scope="module")
def alone(shared_cache: Cached) -> FinetuneFolder:
    workspace, plan = shared_cache
    return finetune(workspace, plan, "alone", **SETTINGS)


def test_two_processes_give_the_result_of_one_and_the_first_alone_writes(
    shared_cache: Cached, alone: FinetuneFolder, tmp_path: Path
) -> None:
    workspace, plan = shared_cache
    first, second = run_in_ranks(train_in_a_rank, 2, tmp_path, workspace, plan, "both", None)
    assert_same_log_but_for_rounding(folder_of(workspace, "both"), alone)
    assert any("model.safetensors" in change for change in first)
    assert second == []


def test_a_run_of_two_processes_is_finished_by_one(
    shared_cache: Cached, alone: FinetuneFolder, tmp_path: Path
) -> None:
    workspace, plan = shared_cache
    run_in_ranks(train_in_a_rank, 2, tmp_path, workspace, plan, "fewer", 3)
    assert not folder_of(workspace, "fewer").weights.exists()
    finetune(workspace, plan, "fewer", **SETTINGS)
    assert_same_log_but_for_rounding(folder_of(workspace, "fewer"), alone)


def test_all_processes_stop_with_the_cases_of_the_whole_batch(shared_cache: Cached, tmp_path: Path) -> None:
    workspace, plan = shared_cache
    exploding = edited(plan, "finetune", learning_rate=1e30, batch_size=4)
    messages = run_in_ranks(error_in_a_rank, 2, tmp_path, workspace, exploding, "exploding")
    assert messages[0].startswith(messages[1])  # the first one also names the file that it wrote
    assert "is not finite" in messages[0]
    assert "abdomen_1" in messages[0]
    assert "abdomen_2" in messages[0]


def test_a_batch_that_processes_cannot_share_is_refused(shared_cache: Cached, tmp_path: Path) -> None:
    workspace, plan = shared_cache
    odd = edited(plan, "finetune", batch_size=3)
    messages = run_in_ranks(error_in_a_rank, 2, tmp_path, workspace, odd, "odd")
    assert (
        messages
        == [
            "2 processes can't share a batch of 3 evenly: start 1, 3 of them, or set batch_size "
            "(which changes the result) to a multiple of their number"
        ]
        * 2
    )
