"""What is counted of a level's classifier."""

import pytest
import torch
from torch import Tensor

from mixcl_auto.errors import PlanError
from mixcl_auto.networks.backbone import Level
from mixcl_auto.probing.features import LevelFeatures
from mixcl_auto.probing.probe import class_names, probe_level
from mixcl_auto.records.probe import LevelProbe, ProbeResult, ProbeSettings

NAMES = {0: "background", 1: "liver", 2: "spleen"}


def features(labels: Tensor, rows: Tensor | None = None) -> LevelFeatures:
    """Rows that name their label, unless others are given."""
    named = torch.nn.functional.one_hot(labels, 4).float()
    return LevelFeatures(named if rows is None else rows, labels, 0.5)


def probe(training: LevelFeatures, held_out: LevelFeatures) -> LevelProbe:
    level = Level(training.rows.shape[1], (4, 4, 2))
    return probe_level(3, level, training, held_out, NAMES, ProbeSettings())


def drawn_labels(count: int, seed: int, classes: int = 3) -> Tensor:
    return torch.randint(classes, (count,), generator=torch.Generator().manual_seed(seed))


def test_channels_that_name_the_organ_give_a_full_score() -> None:
    found = probe(features(drawn_labels(60, 0)), features(drawn_labels(30, 1)))
    assert found.balanced_accuracy == 1
    assert [one.recall for one in found.classes] == [1, 1, 1]
    assert (found.training_voxels, found.held_out_voxels) == (60, 30)
    assert found.chance == pytest.approx(1 / 3)
    assert (found.level, found.channels, found.grid) == (3, 4, (4, 4, 2))


def test_channels_without_a_word_on_the_organ_give_about_chance() -> None:
    generator = torch.Generator().manual_seed(2)
    rows = torch.randn(6000, 5, generator=generator)
    labels = drawn_labels(6000, 0)
    found = probe(features(labels[:3000], rows[:3000]), features(labels[3000:], rows[3000:]))
    assert found.balanced_accuracy == pytest.approx(found.chance, abs=0.04)


def test_a_class_without_held_out_voxels_does_not_count() -> None:
    found = probe(features(drawn_labels(60, 0)), features(drawn_labels(30, 1, classes=2)))
    assert [one.recall for one in found.classes] == [1, 1, None]
    assert (found.balanced_accuracy, found.chance) == (1, 0.5)
    assert found.recall("spleen") is None
    assert found.recall("liver") == 1


def test_a_class_that_could_not_be_learnt_counts_as_missed() -> None:
    found = probe(features(drawn_labels(60, 0, classes=2)), features(drawn_labels(30, 1)))
    assert [one.recall for one in found.classes] == [1, 1, 0]
    assert found.balanced_accuracy == pytest.approx(2 / 3)


def test_one_class_alone_is_no_test() -> None:
    found = probe(features(drawn_labels(60, 0)), features(torch.zeros(9, dtype=torch.long)))
    assert found.balanced_accuracy is None
    nothing = probe(features(drawn_labels(60, 0)), features(torch.zeros(0, dtype=torch.long)))
    assert (nothing.balanced_accuracy, nothing.chance) == (None, 1)


def test_recall_is_a_mean_over_classes_and_not_over_voxels() -> None:
    """One of two livers is missed beside a hundred voxels of background."""
    held_out = features(torch.tensor([0] * 100 + [1, 1]))
    held_out.rows[-1] = held_out.rows[0]
    assert probe(features(drawn_labels(60, 0)), held_out).balanced_accuracy == 0.75


def test_collapse_is_measured_on_the_training_voxels() -> None:
    labels = drawn_labels(60, 0)
    same = probe(features(labels, torch.ones(60, 4)), features(drawn_labels(30, 1)))
    assert (same.effective_rank, same.effective_rank_share, same.channel_spread) == (1, 0.25, 0)
    spread = torch.randn(600, 4, generator=torch.Generator().manual_seed(0))
    even = probe(features(drawn_labels(600, 0), spread), features(drawn_labels(30, 1)))
    assert even.effective_rank_share == pytest.approx(1, abs=0.02)
    assert even.channel_spread == pytest.approx(1, abs=0.05)


def test_classes_are_named_by_their_labels() -> None:
    assert class_names({"spleen": 2, "liver": 1}) == NAMES


def test_a_level_that_is_not_there_is_refused() -> None:
    level = probe(features(drawn_labels(60, 0)), features(drawn_labels(30, 1)))
    result = ProbeResult(
        init="mixcl",
        dataset="Abdomen",
        fold=0,
        plan_hash="0",
        recipe_hash="0",
        weights_sha256=None,
        settings=ProbeSettings(),
        device="cpu",
        training_cases=("a",),
        held_out_cases=("b",),
        training_patches=1,
        held_out_patches=1,
        levels=(level,),
    )
    assert result.level(3) is level
    with pytest.raises(PlanError, match="got level 5"):
        result.level(5)
