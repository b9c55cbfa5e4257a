"""What an initialisation stands for in a comparison, which is what its columns are called after."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from mixcl_auto.records.experiment import init_name
from mixcl_auto.records.plan_fields import MIXCL, SCRATCH_SLOW, SUPERVISED
from mixcl_auto.reporting.grid import SCRATCH, Grid
from mixcl_auto.training.earlier_runs import WITHOUT_EFFECT

Role = Literal["random", "slow", "unknown", "supervised", "mixcl"]

ROLES: tuple[Role, ...] = ("random", "slow", "unknown", "supervised", "mixcl")
"""In the order of columns: controls, weights from elsewhere, the baseline, what is to be shown."""

_TITLES = {"supervised": "Supervised", "mixcl": "Ours"}

Question = Literal["pre-training", "weights", "objective", "ablation", "rate", "control"]
"""Does pre-training help; do its weights, at one rate of learning; does MixCL's objective beat segmentation
of the pool; what does it lack without a term; what does the rate do; what does chance do."""


@dataclass(frozen=True)
class Comparison:
    """Two initialisations, the first minus the second."""

    question: Question
    init: str
    baseline: str

    @property
    def text(self) -> str:
        """As tables call it."""
        return f"{self.init} - {self.baseline}"


def role_of(grid: Grid, init: str) -> Role:
    """Random weights, or how the encoder was pre-trained: as the runs say, or without runs the name."""
    if init == SCRATCH_SLOW:
        return "slow"
    if init.startswith(SCRATCH):
        return "random"
    methods: dict[str, Role] = {SUPERVISED: "supervised", MIXCL: "mixcl"}
    methods |= {name: recipe.method for name, recipe in grid.recipes.items()}
    methods |= {scored.key.init: scored.run.method for scored in grid.finished}
    return methods.get(init, "mixcl" if init_name(init) == init else "unknown")


def fresh_level_0(grid: Grid, init: str) -> bool:
    """Whether level 0 starts random, at the full rate, where the rest of the encoder may learn slowly.

    As the pre-training's record says; `scratch-slow` follows the plan, as a pre-training without record does.
    """
    if init in grid.recipes:
        return not grid.recipes[init].hands_on_level_0
    return role_of(grid, init) in ("slow", "mixcl") and not grid.plan.pretrain.hand_on_level_0


def has_seen(grid: Grid, init: str, dataset: str) -> bool:
    """Whether a dataset was in the pool that the weights were pre-trained on.

    As the pre-training's record or the weights' file says; without them, as the plan has it now.
    """
    if role_of(grid, init) in ("random", "slow"):
        return False
    return dataset in grid.pools.get(init, {found.name for found in grid.plan.pool})


def fine_tuned_before(grid: Grid, init: str, dataset: str) -> bool:
    """Whether an initialisation's file holds weights that were fine-tuned on the dataset."""
    loaded = (scored.run.weights for scored in grid.finished if scored.key.init == init)
    return any(weights is not None and weights.dataset == dataset for weights in loaded)


def inits_by_role(grid: Grid) -> dict[Role, tuple[str, ...]]:
    """The grid's initialisations but for plain ``scratch``, and without ablations."""
    roles = {init: role_of(grid, init) for init in grid.inits if init != SCRATCH}
    return {role: tuple(init for init in roles if roles[init] == role) for role in ROLES}


def column_titles(grid: Grid) -> dict[str, str]:
    """What Table 1 calls each initialisation but ``scratch``, in the order of its columns.

    ``Ours`` is MixCL alone, with the pre-training's name where there are several; controls and weights from
    elsewhere go by their names.
    """
    titles = {}
    for role, inits in inits_by_role(grid).items():
        shared = _TITLES.get(role)
        for init in inits:
            titles[init] = init if shared is None else shared if len(inits) == 1 else f"{shared}: {init}"
    return titles


def baseline_pairs(grid: Grid) -> Iterable[tuple[str, str]]:
    """Every MixCL arm with every supervised one, which it has to beat."""
    roles = inits_by_role(grid)
    return [(ours, supervised) for ours in roles["mixcl"] for supervised in roles["supervised"]]


def ablation_pairs(grid: Grid) -> Iterable[tuple[str, str]]:
    """Every ablation with the MixCL arms that differ from it in nothing but the terms left out."""
    whole = {init: _recipe(grid, init) for init in inits_by_role(grid)["mixcl"]}
    return [
        (ablation, init)
        for ablation, without in grid.without.items()
        if without
        for init, recipe in whole.items()
        if recipe == _recipe(grid, ablation)
    ]


def _recipe(grid: Grid, init: str) -> dict[str, object]:
    """A pre-training's fields that change its result, as recorded or planned, but for the terms left out."""
    section = grid.recipes.get(init, grid.plan.pretrain)
    return section.model_dump(exclude={"without", *WITHOUT_EFFECT})


def comparisons(grid: Grid) -> tuple[Comparison, ...]:
    """What the grid is there to answer: MixCL first, the controls last.

    Pre-trained minus scratch, and minus random weights that learn as slowly; MixCL minus the supervised
    baseline, and without a term minus the whole; those slow random weights, and others, minus scratch.
    """
    roles = inits_by_role(grid)
    pretrained = (*roles["mixcl"], *roles["supervised"], *roles["unknown"])
    return (
        *(Comparison("pre-training", init, SCRATCH) for init in pretrained),
        *(Comparison("weights", init, slow) for init in pretrained for slow in roles["slow"]),
        *(Comparison("objective", *pair) for pair in baseline_pairs(grid)),
        *(Comparison("ablation", *pair) for pair in ablation_pairs(grid)),
        *(Comparison("rate", init, SCRATCH) for init in roles["slow"]),
        *(Comparison("control", init, SCRATCH) for init in roles["random"]),
    )
