import json
from dataclasses import replace

import pytest

from mixcl_auto.workflows.benchmark_advice import advice
from mixcl_auto.workflows.benchmark_figures import StageFigures

FIGURES = StageFigures(
    stage="pretrain",
    data="the pool",
    cases=12,
    device="cuda:0",
    precision="bf16",
    threads=8,
    workers=4,
    cores=16,
    batch_size=6,
    patches=18,
    iterations=1000,
    gradient_every=50,
    sample_s=0.1,
    sample_cpu_s=0.1,
    network_s=0.2,
    step_over_network=1.2,
    optimiser_s=0.03,
    gradients_s=0.5,
    run_steps=12,
    run_step_s=0.3,
    waiting_share=0.01,
    peak_memory_mb=9000.0,
)
"""0.24 s of forward, losses and backward, 0.03 s of optimiser, 0.01 s of gradient shares: 0.28 s."""

CPU = replace(FIGURES, device="cpu", cores=8, threads=4)


def waits(figures: StageFigures, **changes: object) -> str:
    return advice(replace(figures, waiting_share=0.38, **changes))


def test_what_follows_from_the_figures() -> None:
    assert FIGURES.step_s == pytest.approx(0.24)
    assert FIGURES.losses_s == pytest.approx(0.04)
    assert FIGURES.compute_s == pytest.approx(0.28)
    assert FIGURES.run_samples_per_s == pytest.approx(20)
    assert FIGURES.loader_samples_per_s == pytest.approx(40)
    assert FIGURES.planned_s == pytest.approx(310)
    assert FIGURES.shares() == pytest.approx(
        {"network": 20 / 28, "losses": 4 / 28, "optimiser": 3 / 28, "gradients": 1 / 28}
    )


@pytest.mark.parametrize(("sample_s", "workers"), [(0.1, 3), (0.04, 1), (0.28 / 6 * 1.01, 2)])
def test_workers_needed_draw_a_batch_while_a_step_is_computed(sample_s: float, workers: int) -> None:
    assert replace(FIGURES, sample_s=sample_s).workers_needed == workers


@pytest.mark.parametrize("step_over_network", [0.9, 1.0, 3.0])
def test_shares_stay_within_0_and_1_even_where_noise_made_the_step_faster_than_its_network(
    step_over_network: float,
) -> None:
    shares = replace(FIGURES, step_over_network=step_over_network).shares().values()
    assert all(0 <= share <= 1 for share in shares)
    assert sum(shares) == pytest.approx(1)


def test_a_plan_that_never_measures_gradients_spends_nothing_on_it() -> None:
    figures = replace(FIGURES, gradient_every=0, gradients_s=0.0)
    assert figures.compute_s == pytest.approx(0.27)
    assert figures.planned_s == pytest.approx(300)


def test_without_workers_one_process_draws() -> None:
    assert replace(FIGURES, workers=0).loader_samples_per_s == pytest.approx(10)


def test_slowdown_compares_a_step_of_the_run_with_its_parts() -> None:
    """0.297 s of computing per step of the run; its parts alone take 0.27 s."""
    assert FIGURES.slowdown == pytest.approx(1.1)


def test_time_spent_on_waiting_is_no_slowdown() -> None:
    assert replace(FIGURES, run_step_s=0.54, waiting_share=0.5).slowdown == pytest.approx(1)


def test_json_has_the_measured_and_the_derived() -> None:
    document = json.loads(json.dumps(FIGURES.to_json()))
    assert document["network_s"] == 0.2
    assert document["workers_needed"] == 3
    assert document["shares"]["network"] == pytest.approx(20 / 28)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"waiting_share": 0.004}, "The network is the limit: waiting 0.4 %."),
        ({"waiting_share": 0.05}, "The network is the limit: waiting 5.0 %."),
        ({"step_over_network": 3.0}, "The losses and projectors are the limit: waiting 1.0 %."),
        ({"step_over_network": 3.0, "stage": "finetune"}, "The loss is the limit: waiting 1.0 %."),
        ({"optimiser_s": 0.9}, "The optimiser is the limit: waiting 1.0 %."),
        (
            {"gradient_every": 1},
            "Measuring the gradient's shares (pretrain.gradient_every) is the limit: waiting 1.0 %.",
        ),
    ],
)
def test_where_nothing_waits_the_largest_part_of_a_step_is_the_limit(
    changes: dict[str, object], sentence: str
) -> None:
    assert advice(replace(FIGURES, **changes)) == sentence


def test_too_few_workers_are_told_how_many_would_do() -> None:
    assert waits(FIGURES, workers=1) == (
        "The loader is the limit (waiting 38.0 %): set pretrain.workers to 3 (now 1)."
    )
    assert "set finetune.workers to 3 (now 0)" in waits(CPU, workers=0, stage="finetune")


def test_on_a_cpu_the_cores_of_the_network_are_not_offered_to_the_loader() -> None:
    assert waits(CPU, workers=1, sample_s=0.25, sample_cpu_s=0.25).endswith(
        "workers needed: 6, and there are 8 cores, 4 of them taken by pretrain.threads; "
        "set pretrain.workers to 4 (now 1)."
    )


def test_workers_beyond_the_cores_are_not_advised() -> None:
    text = waits(FIGURES, workers=16, sample_s=2.0, sample_cpu_s=2.0)
    assert text.endswith("workers needed: 43, and there are 16 cores; give it more cores.")


def test_workers_that_wait_for_the_disk_may_be_more_than_the_cores() -> None:
    """43 workers that compute for a twentieth of their time need 3 cores."""
    text = waits(FIGURES, sample_s=2.0)
    assert text.endswith("set pretrain.workers to 43 (now 4).")
    assert replace(FIGURES, sample_s=2.0).cores_needed == 3


def test_enough_workers_that_share_their_cores_with_the_network_are_told_so() -> None:
    text = waits(CPU, cores=4, workers=3)
    assert "workers are enough (3, needed 3), but pretrain.threads=4 share the 4 cores with them" in text


def test_enough_workers_with_cores_of_their_own_point_to_the_disk_or_other_programs() -> None:
    text = waits(FIGURES, workers=4)
    assert "workers are enough (4, needed 3)" in text
    assert "the disk is slow" in text


def test_a_run_that_computes_more_slowly_than_its_parts_is_told_who_may_be_to_blame() -> None:
    """0.297 s of computing per step of the run; its parts alone take 0.135 s."""
    slow = {"network_s": 0.1, "optimiser_s": 0.015}
    assert advice(replace(CPU, **slow)) == (
        "The network is the limit: waiting 1.0 %. In the run a step took 2.2 times as long as its parts "
        "alone: threads (4), workers (4) and other programs share 8 cores."
    )
    assert advice(replace(FIGURES, **slow)).endswith("other programs use the GPU, or the cores that feed it.")
