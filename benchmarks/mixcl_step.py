"""A MixCL step (forward, losses, backward) over the bare network on the same three patches per sample.

Neither side has an optimiser. The bare network is MONAI's UNETR, and for a stricter measure this project's
own backbone, which computes the same in less time. On a CPU both sides keep the memory that they free, as
training does; the first row shows MONAI's network without that.
"""

from collections.abc import Sequence

import torch

from benchmarks.measure import Row, cost_row, duration, finish, speed_row, time_in_turn
from benchmarks.network_step import (
    finish_work,
    forward_backward,
    monai_unetr,
    own_backbone,
    step_parser,
    step_plan,
)
from mixcl_auto.engines.host_memory import keep_freed_memory
from mixcl_auto.training.device import Precision, choose_device, resolve_precision
from mixcl_auto.workflows.random_step import random_pairs, start_pretraining

STEP, MONAI, OWN = "mixcl_auto", "MONAI's UNETR", "own backbone"
MOST, MOST_NEXT = 1.20, 1.15


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    options = step_parser(__doc__, batch=1)
    chosen = options.parse_args(arguments)
    if chosen.threads:
        torch.set_num_threads(chosen.threads)
    device, plan = choose_device(chosen.device), step_plan(chosen.preset, chosen.patch)
    precision = resolve_precision(chosen.precision, device, plan.network.patch_size)
    method, state, objective = start_pretraining(plan, device, precision)
    batch = random_pairs(plan, chosen.batch, method.label_grid).to(device)
    images = torch.cat([batch.tensors[view] for view in ("view_1", "view_1_prime", "view_2")])

    def mixcl() -> None:
        loss, _ = objective(batch, measure_gradients=False)
        torch.autograd.backward(loss)
        state.network.zero_grad(set_to_none=True)
        finish_work(device)

    sides = {STEP: mixcl, OWN: forward_backward(own_backbone(plan.network, 1, device), images, precision)}
    rows = []
    if plan.network.layers == 12:
        sides[MONAI] = forward_backward(monai_unetr(plan.network, 1, device), images, precision)
        if device.type == "cpu":
            as_it_comes = time_in_turn({MONAI: sides[MONAI]}, rounds=2)
            what = f"{MONAI}, forward and backward, memory handed back"
            rows.append(Row(what, "", f"{MONAI}: {duration(min(as_it_comes[MONAI]))}"))
    keep_freed_memory()
    seconds = time_in_turn(sides, rounds=chosen.rounds)
    what = describe(plan.network.patch_size, chosen.batch, precision, device)
    if MONAI in sides:
        rows.append(cost_row(f"MixCL step, {what}", seconds, MONAI, ours=STEP, at_most=MOST_NEXT))
        rows.append(speed_row("the backbone alone, the same values", seconds, MONAI, ours=OWN))
    rows.append(cost_row(f"MixCL step, {what}", seconds, OWN, ours=STEP, at_most=MOST))
    finish(f"MixCL step over the bare network, {chosen.preset}", rows, chosen.json)


def describe(patch: tuple[int, int, int], batch: int, precision: Precision, device: torch.device) -> str:
    """A step's sizes in words."""
    return f"{' x '.join(map(str, patch))}, batch {batch}, {precision}, {device}"


if __name__ == "__main__":
    main()
