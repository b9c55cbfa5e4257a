from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from rank_processes import run_in_ranks
from torch import Tensor, nn

from mixcl_auto.distributed.launch import read_launch
from mixcl_auto.distributed.process_group import data_parallel, open_ranks
from mixcl_auto.distributed.ranks import ALONE, Ranks

CPU = torch.device("cpu")
COUNT = 2


def make_layer() -> nn.Linear:
    layer = nn.Linear(3, 2).double()
    with torch.no_grad():
        for number, parameter in enumerate(layer.parameters()):
            parameter.copy_(torch.linspace(-1, 1, parameter.numel()).view_as(parameter) + number)
    return layer


def rows() -> Tensor:
    return torch.linspace(-2, 3, 24, dtype=torch.float64).view(8, 3)


def loss_of_sums(outputs: Tensor, ranks: Ranks) -> Tensor:
    """Not linear in the sums, as Eq. 4 is not."""
    total, square = ranks.sum([outputs.sum(0), outputs.square().sum()])
    return (total.square().sum() / square - total[0]).exp().log1p()


def gradients(layer: nn.Linear) -> list[Tensor]:
    return [parameter.grad.clone() for parameter in layer.parameters()]


def in_parallel() -> dict[str, object]:
    with open_ranks(read_launch(), CPU) as ranks:
        layer = make_layer()
        if not ranks.is_first:
            nn.init.zeros_(layer.weight)
        parallel = data_parallel(layer, ranks)
        own = rows()[ranks.share(8).start : ranks.share(8).stop]
        loss = loss_of_sums(parallel(own), ranks)
        loss.backward()
        plain = parallel(own).sum(0)
        dist.all_reduce(plain)
        mixed = ranks.sum([torch.tensor(7), torch.ones(2, 2), torch.tensor([0.5], dtype=torch.float64)])
        return {
            "ranks": (ranks.number, ranks.count),
            "loss": loss.detach(),
            "gradients": gradients(layer),
            "mixed": mixed,
            "any": [ranks.any(flag, CPU) for flag in (ranks.number == 1, False)],
            "gathered": ranks.gather({"rank": ranks.number}),
            "mean": ranks.mean([torch.tensor([float(ranks.number)], requires_grad=True)])[0],
        }


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> list[dict[str, object]]:
    return run_in_ranks(in_parallel, COUNT, tmp_path_factory.mktemp("ranks"))


def test_processes_know_their_place(results):
    assert [result["ranks"] for result in results] == [(0, 2), (1, 2)]


def test_loss_and_averaged_gradients_equal_one_process_with_all_rows(results):
    layer = make_layer()
    loss = loss_of_sums(layer(rows()), ALONE)
    loss.backward()
    for result in results:
        torch.testing.assert_close(result["loss"], loss.detach(), rtol=1e-12, atol=0)
        torch.testing.assert_close(result["gradients"], gradients(layer), rtol=1e-12, atol=1e-12)


def test_tensors_of_several_types_are_packed_and_come_back_as_they_were(results):
    for result in results:
        count, ones, half = result["mixed"]
        assert (count.dtype, int(count)) == (torch.int64, 14)
        torch.testing.assert_close(ones, torch.full((2, 2), 2.0))
        torch.testing.assert_close(half, torch.tensor([1.0], dtype=torch.float64))


def test_one_process_that_says_yes_is_enough(results):
    assert [result["any"] for result in results] == [[True, False]] * COUNT


def test_values_are_gathered_in_the_order_of_ranks(results):
    assert [result["gathered"] for result in results] == [[{"rank": 0}, {"rank": 1}]] * COUNT


def test_a_mean_carries_no_gradient(results):
    for result in results:
        assert result["mean"].tolist() == [0.5]
        assert not result["mean"].requires_grad


def test_a_process_alone_gets_back_what_it_gave():
    tensors = [torch.ones(2, requires_grad=True)]
    assert ALONE.sum(tensors)[0] is tensors[0]
    assert ALONE.is_first
    assert ALONE.gather(3) == [3]
    layer = make_layer()
    assert data_parallel(layer, ALONE) is layer


def test_shares_are_equal_and_in_order():
    assert [list(Ranks(number, 3).share(6)) for number in range(3)] == [[0, 1], [2, 3], [4, 5]]


def stay_or_leave(folder: Path) -> str:
    from mixcl_auto.errors import RunError

    launch = read_launch()
    try:
        with open_ranks(launch, CPU) as ranks:
            if ranks.number == 1:
                return "left"
            for _ in range(2):
                ranks.any(False, CPU)
    except RunError as problem:
        return str(problem)
    return "nothing"


def test_a_process_that_the_others_left_says_so(tmp_path):
    message, left = run_in_ranks(stay_or_leave, COUNT, tmp_path, tmp_path)
    assert left == "left"
    assert message.startswith("the other processes are lost: one of them failed or was killed")
    assert "Run the same command again" in message
