"""Whether scored runs may stand beside each other: made by the plan as it is now, and from one encoder."""

from collections.abc import Iterable, Mapping

from mixcl_auto.records.plan import Plan
from mixcl_auto.records.run import FinetuneRun, PretrainRun
from mixcl_auto.training.earlier_runs import finetuning_differences, with_seed_of

_NAMED = 2
"""So many differing fields are named; the run's own record has the rest."""


def other_plan(run: FinetuneRun, plan: Plan) -> str:
    """That a run was made with other values or cases than the plan has; empty if it was not."""
    differences = finetuning_differences(run, with_seed_of(run, plan))
    if not differences:
        return ""
    more = f", and {len(differences) - _NAMED} more" if len(differences) > _NAMED else ""
    named = "; ".join(differences[:_NAMED])
    return f"made under another plan (its value and this plan's: {named}{more})"


def other_encoder(run: FinetuneRun, pretrainings: Mapping[str, PretrainRun]) -> str:
    """That a run started from another encoder than its pre-training has now; empty if it did not."""
    made = pretrainings.get(run.init)
    if made is None or made.encoder_sha256 is None or run.weights is None:
        return ""
    return "" if made.encoder_sha256 == run.weights.sha256 else "from another encoder than there is now"


def mixed_weights(runs: Iterable[FinetuneRun]) -> dict[str, int]:
    """Initialisations under whose name the runs started from several weights, and from how many."""
    found: dict[str, set[str | None]] = {}
    for run in runs:
        found.setdefault(run.init, set()).add(run.weights.sha256 if run.weights else None)
    return {init: len(weights) for init, weights in found.items() if len(weights) > 1}
