import pytest
import torch
from torch.nn import Parameter

from mixcl_auto.training.optimiser import gradient_norm, learning_rate, make_optimiser, set_learning_rate


def test_learning_rate_equals_torch_cosine_annealing() -> None:
    optimiser = torch.optim.SGD([Parameter(torch.zeros(1))], lr=0.3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=17)
    for step in range(17):
        assert learning_rate(step, peak=0.3, steps=17) == pytest.approx(schedule.get_last_lr()[0], rel=1e-9)
        optimiser.step()
        schedule.step()


def test_learning_rate_worked_by_hand() -> None:
    rates = [learning_rate(step, peak=2.0, steps=8, warmup_steps=4) for step in range(8)]
    root_half = 0.5**0.5
    expected = [0.5, 1.0, 1.5, 2.0, 2.0, 1 + root_half, 1.0, 1 - root_half]
    assert rates == pytest.approx(expected, rel=1e-12)


def test_learning_rate_only_rises_in_a_run_shorter_than_its_warmup() -> None:
    rates = [learning_rate(step, peak=1.0, steps=3, warmup_steps=10) for step in range(3)]
    assert rates == pytest.approx([0.1, 0.2, 0.3])


def test_optimiser_leaves_frozen_parameters_alone() -> None:
    learning, frozen = Parameter(torch.ones(2)), Parameter(torch.ones(2), requires_grad=False)
    optimiser = make_optimiser([learning, frozen], learning_rate=0.1, weight_decay=0.5)
    learning.grad = torch.ones(2)
    optimiser.step()
    assert torch.equal(frozen, torch.ones(2))
    # AdamW's first step: w (1 - lr decay) - lr * sign(gradient)
    assert learning.detach().numpy() == pytest.approx([1 - 0.05 - 0.1] * 2, rel=1e-5)


def test_set_learning_rate_reaches_all_groups() -> None:
    groups = [{"params": [Parameter(torch.zeros(1))]}, {"params": [Parameter(torch.zeros(1))]}]
    optimiser = torch.optim.AdamW(groups, lr=1.0)
    set_learning_rate(optimiser, 0.25)
    assert [group["lr"] for group in optimiser.param_groups] == [0.25, 0.25]


def test_careful_parameters_learn_at_their_share_of_every_rate() -> None:
    plain, careful = Parameter(torch.zeros(1)), Parameter(torch.zeros(1))
    optimiser = make_optimiser(
        [plain, careful], learning_rate=0.1, weight_decay=0.0, careful=[careful], careful_factor=0.25
    )
    for rate in (0.1, 0.4):
        set_learning_rate(optimiser, rate)
        plain.grad, careful.grad = torch.ones(1), torch.ones(1)
        optimiser.step()
    # AdamW's steps under a constant gradient are the rate long
    assert (plain.item(), careful.item()) == pytest.approx((-0.5, -0.125), rel=1e-5)


def test_a_factor_of_one_makes_no_group_of_its_own() -> None:
    parameters = [Parameter(torch.zeros(1)), Parameter(torch.zeros(1))]
    optimiser = make_optimiser(parameters, learning_rate=0.1, weight_decay=0.0, careful=parameters[1:])
    assert len(optimiser.param_groups) == 1  # so that checkpoints stay as they are


def test_gradient_norm_is_over_all_parameters_and_before_clipping() -> None:
    first, second = Parameter(torch.zeros(1)), Parameter(torch.zeros(2))
    unused = Parameter(torch.zeros(1))
    first.grad, second.grad = torch.tensor([3.0]), torch.tensor([0.0, 4.0])
    assert gradient_norm([first, second, unused]).item() == pytest.approx(5.0)
    assert gradient_norm([first, second, unused], clip_norm=1.0).item() == pytest.approx(5.0)
    assert gradient_norm([first, second]).item() == pytest.approx(1.0, rel=1e-5)
    assert first.grad.item() == pytest.approx(0.6, rel=1e-5)


def test_gradient_norm_below_the_limit_changes_nothing() -> None:
    parameter = Parameter(torch.zeros(2))
    parameter.grad = torch.tensor([0.3, 0.4])
    gradient_norm([parameter], clip_norm=1.0)
    assert torch.equal(parameter.grad, torch.tensor([0.3, 0.4]))
