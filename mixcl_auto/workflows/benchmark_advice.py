"""What the figures of a benchmark say in plain words."""

from mixcl_auto.workflows.benchmark_figures import StageFigures, StageName

WAITING_AT_MOST = 0.05
"""Share of a run's time that may be spent on waiting for the loader before the loader counts as the limit."""

CROWDED_FROM = 1.25
"""``slowdown`` from which on it is worth a word; even on a quiet machine it varies by a tenth."""


def advice(figures: StageFigures) -> str:
    """What limits the run, and what to do about it, in a few sentences."""
    waiting = f"waiting {figures.waiting_share:.1%}".replace("%", " %")
    if figures.waiting_share <= WAITING_AT_MOST:
        limit = f"{_largest_part(figures)} the limit: {waiting}."
    else:
        limit = f"The loader is the limit ({waiting}): {_loader_advice(figures)}."
    return limit if figures.slowdown < CROWDED_FROM else f"{limit} {_crowded(figures)}"


def losses_name(stage: StageName) -> str:
    """What a step has beside the backbone."""
    return "losses and projectors" if stage == "pretrain" else "loss"


def _largest_part(figures: StageFigures) -> str:
    shares = figures.shares()
    losses = {"pretrain": "The losses and projectors are", "finetune": "The loss is"}[figures.stage]
    sentences = {
        "network": "The network is",
        "losses": losses,
        "optimiser": "The optimiser is",
        "gradients": f"Measuring the gradient's shares ({figures.stage}.gradient_every) is",
    }
    return sentences[max(shares, key=lambda name: shares[name])]


def _loader_advice(figures: StageFigures) -> str:
    """A change that keeps the network busy; workers change no result, so they come first."""
    needed, workers, stage = figures.workers_needed, figures.workers, figures.stage
    # A GPU leaves the cores to the loader; on a CPU the network's own threads need theirs.
    on_cpu = figures.device == "cpu"
    free_cores = figures.cores - (figures.threads if on_cpu else 0)
    if needed > workers and figures.cores_needed <= max(1, free_cores):
        return f"set {stage}.workers to {needed} (now {workers})"
    if needed > workers:
        taken = f", {figures.threads} of them taken by {stage}.threads" if on_cpu else ""
        best = max(1, free_cores)
        change = f"set {stage}.workers to {best} (now {workers})" if best > workers else "give it more cores"
        return f"workers needed: {needed}, and there are {figures.cores} cores{taken}; {change}"
    if on_cpu and figures.threads + workers > figures.cores:
        return (
            f"workers are enough ({workers}, needed {needed}), but {stage}.threads={figures.threads} share "
            f"the {figures.cores} cores with them; fewer threads leave them more, and change results in the "
            "last digits"
        )
    return (
        f"workers are enough ({workers}, needed {needed}) with a core each and the cache in memory; see if "
        "other programs run here, or the disk is slow"
    )


def _crowded(figures: StageFigures) -> str:
    """Who may have taken time from the network during the run."""
    rivals = (
        f"threads ({figures.threads}), workers ({figures.workers}) and other programs share "
        f"{figures.cores} cores"
        if figures.device == "cpu"
        else "other programs use the GPU, or the cores that feed it"
    )
    return f"In the run a step took {figures.slowdown:.1f} times as long as its parts alone: {rivals}."
