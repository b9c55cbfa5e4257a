"""The plan's section on the experiment: which arms are compared, on how many labels and seeds."""

from typing import Self

from pydantic import Field, model_validator

from mixcl_auto.records.names import Init, PlainName, is_pretraining_name
from mixcl_auto.records.plan_fields import MIXCL, SCRATCH, SUPERVISED, Fraction, NonNegative, Term
from mixcl_auto.records.record import Record


class ExperimentPlan(Record):
    """The grid that ``report`` expects and ``experiment`` runs: Table 1, and the ablations of Table 2."""

    fractions: tuple[Fraction, ...] = (0.05, 0.15, 0.5, 1.0)
    folds: tuple[NonNegative, ...] = (0, 1, 2, 3, 4)
    inits: tuple[Init, ...] = (SCRATCH, MIXCL)
    """Initial weights to compare: ``scratch``, ``scratch-2``, ``scratch-slow``, ``mixcl``, ``supervised``, an
    ablation, a pre-training made by hand, or a weights file."""
    seeds: tuple[NonNegative, ...] = (0,)
    fraction_seeds: dict[Fraction, tuple[NonNegative, ...]] = Field(default_factory=dict)
    """A share of labels to its seeds, instead of ``seeds``: runs on many labels vary less."""
    target_fractions: dict[PlainName, tuple[Fraction, ...]] = Field(default_factory=dict)
    """A target's name to its fractions, instead of ``fractions``."""
    ablations: dict[str, tuple[Term, ...]] = Field(default={"no_reconstruction": ("reconstruction",)})
    """A pre-training's name to the terms that it leaves out; the paper's middle row of Table 2."""
    ablation_fractions: tuple[Fraction, ...] = (0.3,)
    """Shares of labels of Table 2, for ``scratch``, the ablations and ``mixcl``."""
    target_ablation_fractions: dict[PlainName, tuple[Fraction, ...]] = Field(default_factory=dict)
    """A target's name to its fractions in Table 2, instead of ``ablation_fractions``."""
    ablation_inits: tuple[Init, ...] = ()
    """Further initial weights in Table 2 alone, such as a pre-training made by hand."""
    ablation_seeds: tuple[NonNegative, ...] | None = None
    """Seeds of Table 2; those of the share of labels where absent."""

    @model_validator(mode="after")
    def _ablations_can_be_told_apart(self) -> Self:
        for name, terms in self.ablations.items():
            if name in (MIXCL, SUPERVISED) or not is_pretraining_name(name):
                raise ValueError(
                    f"an ablation can't be called {name!r}: use letters, digits, _ and -, and no name that "
                    f"begins with {SCRATCH!r}, nor {MIXCL!r} or {SUPERVISED!r}, which mean other weights"
                )
            if not 0 < len(set(terms)) < 3:
                raise ValueError(f"ablation {name!r} must leave out one or two of the three terms")
        return self

    def fractions_of(self, target: str) -> tuple[float, ...]:
        """Shares of labels of a target in Table 1."""
        return self.target_fractions.get(target, self.fractions)

    def seeds_of(self, fraction: float) -> tuple[int, ...]:
        """Seeds at a share of labels."""
        return self.fraction_seeds.get(fraction, self.seeds)

    def ablation_seeds_of(self, fraction: float) -> tuple[int, ...]:
        """Seeds at a share of labels in Table 2."""
        return self.seeds_of(fraction) if self.ablation_seeds is None else self.ablation_seeds

    def every_fraction_of(self, target: str) -> tuple[float, ...]:
        """Shares of labels of a target in either table."""
        return (*self.fractions_of(target), *self.ablation_fractions_of(target))

    def ablation_fractions_of(self, target: str) -> tuple[float, ...]:
        """Shares of labels of a target in Table 2."""
        return self.target_ablation_fractions.get(target, self.ablation_fractions)
