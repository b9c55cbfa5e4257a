"""Synthetic runs: records, scores and logs as the stages write them, with Dice chosen by the test."""

from types import SimpleNamespace

import numpy as np
import pytest

from mixcl_auto.io.files import write_text
from mixcl_auto.io.scores import write_scores
from mixcl_auto.io.workspace import Workspace
from mixcl_auto.records.experiment_plan import ExperimentPlan
from mixcl_auto.records.plan import DatasetPlan, Decision, Plan
from mixcl_auto.records.plan_edits import edit_plan
from mixcl_auto.records.run import Environment, FinetuneRun, LoadedWeights, PretrainRun
from mixcl_auto.records.score import OrganScore

ENVIRONMENT = Environment(
    mixcl_auto="0.1.0", torch="2.13.0", python="3.11.9", device="cpu", precision="fp32", threads=1
)
ORGANS = {"liver": 1, "spleen": 2}


def make_plan(**experiment):
    datasets = (
        DatasetPlan(
            name="Pool_A", role="pretrain", labels={"kidney": 1}, cases=("p1", "p2"), fingerprint="0"
        ),
        DatasetPlan(
            name="Target_1", role="target", labels=ORGANS, cases=("a", "b"), fingerprint="0", split="0"
        ),
    )
    fields = {
        "fractions": (0.05, 1.0),
        "folds": (0, 1, 2),
        "inits": ("scratch", "mixcl"),
        "seeds": (0,),
    } | experiment
    return Plan(
        description="A plan of the tests",
        preset="tiny",
        datasets=datasets,
        experiment=ExperimentPlan(**fields),
        decisions=(
            Decision(field="preprocess.spacing_mm", value="1.5", rule="fixed", reason="<b>as printed</b>"),
        ),
        warnings=("Target_1: one case is short",),
    )


def organ_scores(case, dice_per_organ):
    return [
        OrganScore(
            case=case,
            patient=case,
            organ=organ,
            label=ORGANS[organ],
            dice=dice,
            dice_resampled=dice,
            hd95_mm=None if dice is None else 10 * (1 - dice),
            surface_dice=dice,
            reference_voxels=0 if dice is None else 10,
            prediction_voxels=0 if not dice else 10,
        )
        for organ, dice in dice_per_organ.items()
    ]


class Lab:
    """A workspace in which runs are written by hand."""

    def __init__(self, root, plan):
        self.workspace, self.plan = Workspace(root), plan

    def finetune(
        self,
        init,
        fraction,
        fold,
        dice,
        *,
        seed=0,
        without=(),
        method="mixcl",
        dataset="Target_1",
        status="finished",
        scored=True,
        log=False,
        edits=(),
        weights=None,
        tuned_on=None,
        pool=(),
    ):
        """A run on cases 'a' and 'b'; ``dice`` is a number for all, or {case: {organ: dice}}."""
        cases = dice if isinstance(dice, dict) else {c: dict.fromkeys(ORGANS, dice) for c in ("a", "b")}
        folder = self.workspace.finetune("plan", dataset, init, fraction, fold, seed)
        run = FinetuneRun(
            dataset=dataset,
            init=init,
            without=without,
            method=method,
            fraction=fraction,
            fold=fold,
            seed=seed,
            plan=edit_plan(self.plan, [f"finetune.seed={seed}", *edits]),
            status=status,
            environment=ENVIRONMENT,
            weights=weights
            and LoadedWeights(
                source=init, sha256=weights, loaded=("vit.norm.weight",), dataset=tuned_on, pool=pool
            ),
            training_cases=("c",),
            held_out_cases=("a", "b"),
            parameters=1000,
            iterations=10,
        )
        write_text(folder.run, run.to_json())
        if scored:
            write_scores(
                folder.scores, [s for case, organs in cases.items() for s in organ_scores(case, organs)]
            )
        if log:
            rows = [f"{step},{1.5 * 0.99**step + 0.2:.9g}" for step in range(1, 201)]
            write_text(folder.log, "\n".join(["step,loss", *rows]) + "\n")
        return folder

    def pretrain(self, name="mixcl", without=(), log=False, method="mixcl", encoder=None, **fields):
        """A finished pre-training; ``fields`` are those of the plan's section that it had otherwise."""
        folder = self.workspace.pretrain("plan", name)
        section = self.plan.pretrain.model_copy(update={"without": without, "method": method, **fields})
        run = PretrainRun(
            name=name,
            plan=self.plan.model_copy(update={"pretrain": section}),
            status="finished",
            environment=ENVIRONMENT,
            parameters=92_800_000,
            iterations=1000,
            encoder_sha256=encoder,
        )
        write_text(folder.run, run.to_json())
        if log:
            header = (
                "step,identity,label,label_chance,reconstruction,gradient_share_identity,gradient_share_label"
            )
            noise = np.random.default_rng(0).normal(0, 0.05, 300)
            rows = [
                f"{s},{40 * 0.99**s + 1:.6g},{2 * 0.995**s + noise[s - 1]:.6g},2.1,{0.1 * 0.99**s:.6g},"
                + ("0.4,0.6" if s % 50 == 0 else ",")
                for s in range(1, 301)
            ]
            write_text(folder.log, "\n".join([header, *rows]) + "\n")
        return folder


@pytest.fixture
def make_lab(tmp_path):
    return lambda **experiment: Lab(tmp_path, make_plan(**experiment))


@pytest.fixture(scope="module")
def module_lab(tmp_path_factory):
    """Two arms on two folds of all labels, shared by the tests of a module."""
    return Lab(tmp_path_factory.mktemp("lab"), make_plan(fractions=(1.0,), folds=(0, 1)))


@pytest.fixture
def unfinished_lab(make_lab):
    """5 %: scratch on folds 0, 1, 2 and mixcl on 0, 1; 100 %: scratch on fold 0 alone."""
    lab = make_lab()
    for fold, dice in enumerate((0.50, 0.40, 0.90)):
        lab.finetune("scratch", 0.05, fold, dice)
    for fold, dice in enumerate((0.56, 0.48)):
        lab.finetune("mixcl", 0.05, fold, dice)
    lab.finetune("scratch", 1.0, 0, 0.8)
    lab.finetune("mixcl", 0.05, 2, 0.0, status="trained", scored=False)
    return lab


@pytest.fixture
def report_lab():
    return SimpleNamespace(plan=make_plan, scores=organ_scores)
