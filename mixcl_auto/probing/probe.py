"""From an encoder and the voxels to look at to what a linear classifier reads out of each level."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from mixcl_auto.losses.collapse import channel_spread, effective_rank
from mixcl_auto.networks.backbone import Backbone, Level
from mixcl_auto.probing.features import LevelFeatures, read_features
from mixcl_auto.probing.linear import fit_linear
from mixcl_auto.probing.sites import ProbedPatch
from mixcl_auto.progress import Progress
from mixcl_auto.records.plan import Plan
from mixcl_auto.records.probe import LevelProbe, ProbedClass, ProbeSettings
from mixcl_auto.training.device import deterministic, limited_threads

BACKGROUND = "background"


def probe_encoder(
    network: Backbone,
    training: Sequence[ProbedPatch],
    held_out: Sequence[ProbedPatch],
    classes: Mapping[int, str],
    plan: Plan,
    settings: ProbeSettings,
    *,
    device: torch.device,
    progress: Progress,
) -> tuple[LevelProbe, ...]:
    """Fit a classifier per level to the training cases' voxels, and test it on the held-out cases'.

    Args:
        network: its encoder is not changed; moved to ``device``.
        training: patches of the training cases; at least one.
        held_out: patches of the held-out cases; at least one.
        classes: labels to names, see `class_names`.
        plan: the window, the threads and how many patches go at once.
        settings: of the classifier.
        device: where the encoder computes; the classifiers are fitted on the CPU.
        progress: told of every patch.

    Raises:
        RunError: if the encoder's maps are not finite.
    """
    network = network.to(device).eval()

    def features_of(patches: Sequence[ProbedPatch]) -> list[LevelFeatures]:
        return read_features(
            network,
            patches,
            window_steps=plan.preprocess.window_steps,
            batch_size=plan.inference.windows_per_batch,
            device=device,
            progress=progress,
        )

    with limited_threads(plan.pretrain.threads), deterministic(device, wanted=True):
        pairs = zip(features_of(training), features_of(held_out), strict=True)
        return tuple(
            probe_level(number, network.levels[number], fitted, tested, classes, settings)
            for number, (fitted, tested) in enumerate(pairs)
        )


def class_names(organs: Mapping[str, int]) -> dict[int, str]:
    """The classes of a dataset by label: the background, then its organs."""
    return {0: BACKGROUND, **dict(sorted((label, organ) for organ, label in organs.items()))}


def probe_level(
    number: int,
    level: Level,
    training: LevelFeatures,
    held_out: LevelFeatures,
    classes: Mapping[int, str],
    settings: ProbeSettings,
) -> LevelProbe:
    """Fit one level's classifier and count what it recognises."""
    classifier = fit_linear(
        training.rows, training.labels, penalty=settings.penalty, iterations=settings.iterations
    )
    is_right = classifier.predict(held_out.rows) == held_out.labels
    found = tuple(
        ProbedClass(
            name=name,
            label=label,
            training_voxels=int((training.labels == label).sum()),
            held_out_voxels=int((held_out.labels == label).sum()),
            recall=_share(is_right[held_out.labels == label]),
        )
        for label, name in classes.items()
    )
    recalls = [one.recall for one in found if one.recall is not None]
    return LevelProbe(
        level=number,
        channels=level.channels,
        grid=level.grid,
        balanced_accuracy=sum(recalls) / len(recalls) if len(recalls) > 1 else None,
        classes=found,
        effective_rank=float(effective_rank(training.rows)),
        channel_spread=float(channel_spread(training.rows)),
        position_share=training.position_share,
    )


def _share(is_right: Tensor) -> float | None:
    return float(is_right.double().mean()) if len(is_right) else None
