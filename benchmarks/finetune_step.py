"""A fine-tuning step (forward, Dice + cross-entropy, backward) over the bare network on the same patches.

Neither side has an optimiser. The bare network is MONAI's UNETR with 14 output channels, and for a stricter
measure this project's own backbone, which computes the same in less time. MONAI's UNETR with MONAI's
DiceCELoss stands beside the whole step. On a CPU all keep the memory that they free, as training does.
"""

from collections.abc import Sequence

import torch
from monai.losses.dice import DiceCELoss

from benchmarks.measure import cost_row, finish, speed_row, time_in_turn
from benchmarks.mixcl_step import describe
from benchmarks.network_step import (
    finish_work,
    forward_backward,
    monai_unetr,
    own_backbone,
    step_parser,
    step_plan,
)
from mixcl_auto.engines.host_memory import keep_freed_memory
from mixcl_auto.training.device import choose_device, resolve_precision
from mixcl_auto.workflows.random_step import random_patches, start_finetuning

STEP, OWN, BARE, MONAI = "mixcl_auto", "own backbone", "MONAI's UNETR", "MONAI's UNETR and DiceCELoss"
MOST = 1.05


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    options = step_parser(__doc__, batch=2)
    chosen = options.parse_args(arguments)
    if chosen.threads:
        torch.set_num_threads(chosen.threads)
    device, plan = choose_device(chosen.device), step_plan(chosen.preset, chosen.patch)
    precision = resolve_precision(chosen.precision, device, plan.network.patch_size)
    classes = plan.targets[0].class_count
    state, objective = start_finetuning(plan, classes, device, precision)
    batch = random_patches(plan, chosen.batch).to(device)
    images, labels = batch.tensors["image"], batch.tensors["labels"]
    keep_freed_memory()

    def finetuning() -> None:
        loss, _ = objective(batch, measure_gradients=False)
        torch.autograd.backward(loss)
        state.network.zero_grad(set_to_none=True)
        finish_work(device)

    sides = {
        STEP: finetuning,
        OWN: forward_backward(own_backbone(plan.network, classes, device), images, precision),
    }
    if plan.network.layers == 12:
        criterion = DiceCELoss(to_onehot_y=True, softmax=True)
        network = monai_unetr(plan.network, classes, device)
        sides[BARE] = forward_backward(network, images, precision)
        sides[MONAI] = forward_backward(
            network,
            images,
            precision,
            lambda logits: criterion(logits.float(), labels[:, None].long()),
        )
    seconds = time_in_turn(sides, rounds=chosen.rounds)
    what = f"fine-tuning step, {describe(plan.network.patch_size, chosen.batch, precision, device)}"
    rows = [cost_row(what, seconds, OWN, ours=STEP, at_most=MOST)]
    if MONAI in sides:
        rows.insert(0, cost_row(what, seconds, BARE, ours=STEP, at_most=MOST))
        rows.append(speed_row(what, seconds, MONAI, ours=STEP))
    finish(f"Fine-tuning step over the bare network, {chosen.preset}", rows, chosen.json)


if __name__ == "__main__":
    main()
