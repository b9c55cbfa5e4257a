import pytest

from mixcl_auto.errors import PlanError
from mixcl_auto.planning.roles import resolve_roles


def roles(datasets, **names):
    return {dataset.name: dataset.role for dataset in resolve_roles(datasets, **names)}


def test_declared_roles_stay(make):
    datasets = [make.dataset("P", "pretrain"), make.dataset("T", "target"), make.dataset("B", "both")]
    assert roles(datasets) == {"P": "pretrain", "T": "target", "B": "both"}


def test_the_command_line_wins(make):
    datasets = [make.dataset("P", "pretrain"), make.dataset("T", "target")]
    assert roles(datasets, pretrain=["T"], target=["P"]) == {"P": "target", "T": "pretrain"}
    assert roles(datasets, pretrain=["P"], target=["P"])["P"] == "both"


def test_without_any_word_all_are_both(make):
    datasets = [make.dataset(name, "both", role_given=False) for name in "AB"]
    assert roles(datasets) == {"A": "both", "B": "both"}


def test_without_a_word_a_dataset_pretrains_beside_a_target(make):
    silent = make.dataset("A", "both", role_given=False)
    assert roles([silent, make.dataset("T", "target")])["A"] == "pretrain"
    other = make.dataset("B", "both", role_given=False)
    assert roles([silent, other], target=["B"]) == {"A": "pretrain", "B": "target"}


def test_a_role_of_the_command_line_is_given(make):
    silent = [make.dataset(name, "both", role_given=False) for name in "ABC"]
    settled = resolve_roles(silent, pretrain=["A"], target=["B"])
    assert [dataset.role_given for dataset in settled] == [True, True, False]


def test_unknown_names_are_refused_with_those_there_are(make):
    with pytest.raises(PlanError, match="no dataset X among those to plan with; there are: D"):
        roles([make.dataset("D")], target=["X"])
