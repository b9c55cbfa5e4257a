import pytest
import torch
from rank_processes import run_in_ranks

from mixcl_auto.distributed.launch import read_launch
from mixcl_auto.distributed.process_group import open_ranks
from mixcl_auto.losses.collapse import channel_spread, effective_rank
from mixcl_auto.losses.voxels import voxel_rows
from mixcl_auto.networks.mixcl import FactoredEmbedding
from mixcl_auto.pretraining.collapse_indicators import _stride, collapse_indicators


def random_map(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def some_embeddings() -> list[FactoredEmbedding | torch.Tensor | None]:
    """A batch of four: a large factored level, none, and one with fewer voxels than channels."""
    large = FactoredEmbedding(random_map(0, 4, 3, 20, 18, 16).relu(), random_map(1, 6, 3))
    return [large, None, random_map(2, 4, 48, 2, 2, 2)]


def part_of(embedding: FactoredEmbedding | torch.Tensor | None, samples: range) -> object:
    """Some samples of a batch."""
    chosen = slice(samples.start, samples.stop)
    if isinstance(embedding, FactoredEmbedding):
        return FactoredEmbedding(embedding.features[chosen], embedding.head)
    return None if embedding is None else embedding[chosen]


def test_small_levels_are_measured_at_every_voxel_and_the_rank_as_a_share_of_channels() -> None:
    embedding = random_map(0, 2, 5, 4, 3, 2)
    shares, spreads = collapse_indicators([embedding])
    torch.testing.assert_close(shares[0], effective_rank(voxel_rows(embedding)) / 5)
    torch.testing.assert_close(spreads[0], channel_spread(voxel_rows(embedding)))
    assert 0.8 < shares[0] <= 1


def test_factored_embeddings_give_what_their_product_gives() -> None:
    factored = some_embeddings()[0]
    assert isinstance(factored, FactoredEmbedding)
    for one, other in zip(
        collapse_indicators([factored]), collapse_indicators([factored.dense()]), strict=True
    ):
        assert one[0].item() == pytest.approx(other[0].item(), rel=1e-6)


def test_levels_without_embeddings_are_left_out_and_the_others_keep_their_number() -> None:
    shares, spreads = collapse_indicators(some_embeddings())
    assert list(shares) == list(spreads) == [0, 2]
    assert collapse_indicators([None]) == ({}, {})


def test_collapsed_embeddings_have_one_direction_and_no_spread() -> None:
    constant = torch.ones(2, 8, 4, 4, 4)
    shares, spreads = collapse_indicators([constant])
    assert (shares[0].item(), spreads[0].item()) == (1 / 8, 0)
    one_direction = random_map(0, 2, 1, 4, 4, 4) * torch.ones(8)[:, None, None, None]
    shares, _ = collapse_indicators([one_direction])
    assert shares[0].item() == pytest.approx(1 / 8, rel=1e-4)


def test_rank_is_limited_by_the_voxels_where_they_are_few() -> None:
    shares, _ = collapse_indicators([random_map(0, 1, 64, 2, 2, 2)])
    assert shares[0] < 7 / 64


@pytest.mark.parametrize(
    ("grid", "step"), [((16, 16, 16), 1), ((32, 16, 16), 3), ((96, 96, 96), 7), ((2, 1, 1), 1)]
)
def test_large_grids_are_thinned_by_an_odd_step(grid: tuple[int, int, int], step: int) -> None:
    assert _stride(grid) == step


def test_a_pattern_of_upsampling_is_not_taken_for_collapse() -> None:
    """Two phases along an axis: an even step would see one value alone."""
    pattern = torch.zeros(1, 2, 64, 16, 16)
    pattern[:, 0, ::2], pattern[:, 1, 1::2] = 1, 1
    assert collapse_indicators([pattern])[1][0] > 0.6


def test_no_gradient_is_kept_and_half_precision_is_widened_under_autocast() -> None:
    features = random_map(0, 1, 4, 4, 4, 4).bfloat16().requires_grad_()
    head = random_map(1, 8, 4).requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        shares, spreads = collapse_indicators([FactoredEmbedding(features, head)])
    exact, _ = collapse_indicators([FactoredEmbedding(features.detach().float(), head.detach())])
    assert not shares[0].requires_grad
    assert not spreads[0].requires_grad
    assert shares[0].item() == pytest.approx(exact[0].item(), rel=1e-6)


def measure_in_a_rank() -> torch.Tensor:
    with open_ranks(read_launch(), torch.device("cpu")) as ranks:
        mine = [part_of(embedding, ranks.share(4)) for embedding in some_embeddings()]
        shares, spreads = collapse_indicators(mine, ranks)  # type: ignore[arg-type]
        return torch.stack([*shares.values(), *spreads.values()])


def test_two_processes_find_the_values_of_the_whole_batch(tmp_path: object) -> None:
    shares, spreads = collapse_indicators(some_embeddings())
    alone = torch.stack([*shares.values(), *spreads.values()])
    for found in run_in_ranks(measure_in_a_rank, 2, tmp_path):  # type: ignore[arg-type]
        torch.testing.assert_close(found, alone, rtol=1e-9, atol=0)
