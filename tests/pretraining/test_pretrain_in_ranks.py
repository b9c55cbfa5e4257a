"""Pre-training by two processes gives the log of one, by either method, and is resumed by one."""

import csv
import math

import pytest
import torch
from cached_phantoms import edited
from rank_processes import run_in_ranks

from mixcl_auto.distributed.launch import read_launch
from mixcl_auto.distributed.process_group import open_ranks
from mixcl_auto.io.checkpoints import load_weights
from mixcl_auto.io.runs import read_pretrain_run
from mixcl_auto.io.workspace import PretrainFolder, Workspace
from mixcl_auto.pretraining.pretrain import pretrain
from mixcl_auto.records.plan import Plan

Cached = tuple[Workspace, Plan]
METHODS = ("mixcl", "supervised")
STOPPED = "stopped"


def with_method(plan: Plan, method: str) -> Plan:
    return edited(plan, "pretrain", method=method, batch_size=4)


def train_in_a_rank(workspace: Workspace, plan: Plan) -> None:
    with open_ranks(read_launch(), torch.device("cpu")) as ranks:
        for method in METHODS:
            pretrain(workspace, with_method(plan, method), "both", device="cpu", ranks=ranks)
        mixcl = with_method(plan, "mixcl")
        pretrain(workspace, mixcl, "both", name=STOPPED, device="cpu", ranks=ranks, stop_after=3)


@pytest.fixture(scope="module")
def by_two(shared_cache: Cached, tmp_path_factory: pytest.TempPathFactory) -> Cached:
    run_in_ranks(train_in_a_rank, 2, tmp_path_factory.mktemp("ranks"), *shared_cache)
    return shared_cache


def assert_same_log_but_for_rounding(first: PretrainFolder, second: PretrainFolder) -> None:
    logs = [list(csv.DictReader(folder.log.open())) for folder in (first, second)]
    assert [len(log) for log in logs] == [5, 5]
    for row, other in zip(*logs, strict=True):
        assert row.keys() == other.keys()
        for column, text in row.items():
            same = text == other[column] or math.isclose(float(text), float(other[column]), rel_tol=5e-3)
            assert same, (column, text, other[column])
    assert load_weights(first.encoder).keys() == load_weights(second.encoder).keys()


@pytest.mark.parametrize("method", METHODS)
def test_two_processes_give_the_log_of_one(by_two: Cached, method: str) -> None:
    workspace, plan = by_two
    alone = pretrain(workspace, with_method(plan, method), "alone", device="cpu")
    both = workspace.pretrain("both", method)
    assert_same_log_but_for_rounding(both, alone)
    assert read_pretrain_run(both).environment.processes == 2


def test_the_gradient_shares_of_the_log_are_those_of_the_whole_batch(by_two: Cached) -> None:
    rows = list(csv.DictReader(by_two[0].pretrain("both", "mixcl").log.open()))
    shares = [
        [row[f"gradient_share_{term}"] for term in ("identity", "label", "reconstruction")] for row in rows
    ]
    assert [all(row) for row in shares] == [True, False, True, False, True]


def test_a_run_of_two_processes_is_finished_by_one(by_two: Cached) -> None:
    workspace, plan = by_two
    folder = workspace.pretrain("both", STOPPED)
    assert len(folder.log.read_text().splitlines()) == 1 + 3
    assert not folder.encoder.exists()
    pretrain(workspace, with_method(plan, "mixcl"), "both", name=STOPPED, device="cpu")
    assert_same_log_but_for_rounding(folder, workspace.pretrain("both", "mixcl"))
