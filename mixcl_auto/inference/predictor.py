"""A fine-tuned network that turns scans into label maps."""

import logging
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mixcl_auto.engines.host_memory import keep_freed_memory
from mixcl_auto.errors import RunError, WeightsError
from mixcl_auto.inference.flips import FlippedMean, with_flips
from mixcl_auto.inference.placement import Placement, unless_out_of_memory
from mixcl_auto.inference.sliding_window import predict_logits
from mixcl_auto.io.checkpoints import load_weights
from mixcl_auto.io.images import Volume
from mixcl_auto.io.orientation import ras_shape, ras_spacing_mm
from mixcl_auto.io.runs import read_finetune_run
from mixcl_auto.io.workspace import FinetuneFolder
from mixcl_auto.records.case import Geometry
from mixcl_auto.records.plan import Plan
from mixcl_auto.records.run import FinetuneRun
from mixcl_auto.training.device import choose_device, limited_threads, resolve_precision
from mixcl_auto.training.networks import build_network
from mixcl_auto.transforms.intensity import to_unit_range
from mixcl_auto.transforms.label_upsampling import upsample_argmax
from mixcl_auto.transforms.standardise import standardise_image

Logits = NDArray[np.float32]

_SLAB = 16

logger = logging.getLogger(__name__)


class Predictor:
    """One network on its device, with the recipe that made it.

    Args:
        plan: as the run used it.
        labels_count: classes, background included.
        state_dict: the whole network's weights.
        device: as torch spells it; the first GPU, or the CPU, where absent.

    Raises:
        WeightsError: if the weights are not those of the plan's network.
    """

    def __init__(
        self,
        plan: Plan,
        labels_count: int,
        state_dict: Mapping[str, Tensor],
        device: str | torch.device | None = None,
    ) -> None:
        self.plan = plan
        self.labels_count = labels_count
        self.placement = Placement(choose_device(device), plan.inference.windows_per_batch)
        self.precision = resolve_precision(plan.finetune.precision, self.device, plan.network.patch_size)
        network = build_network(plan.network, out_channels=labels_count)
        try:
            network.load_state_dict(dict(state_dict))
        except RuntimeError as problem:
            reason = str(problem).splitlines()[-1].strip()
            raise WeightsError(
                f"the weights do not fit the plan's network ({reason}); predict with the plan of their run"
            ) from None
        if self.device.type == "cpu":
            keep_freed_memory()
        self.network = network.to(self.device).eval()
        for parameter in network.parameters():
            if parameter.ndim == 5:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last_3d)

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self.placement.device

    def predict_resampled(self, image: NDArray[np.int16]) -> Logits:
        """Logits (classes, X, Y, Z) of a scan that is standardised already: the plan's grid and window.

        Where the device's memory does not suffice, the scan is begun again with less of it, as ``Placement``
        says; later scans begin with what did suffice.

        Args:
            image: as cached, in steps of the plan's ``intensity_step``.

        Raises:
            RunError: if a logit is not finite, or there is not enough memory in any way.
        """
        unit = to_unit_range(image, self.plan.preprocess.window_steps)
        while (logits := unless_out_of_memory(partial(self._predict_unit, unit))) is None:
            self._use_less_memory(image.shape)
        return logits

    def _predict_unit(self, unit: NDArray[np.float32]) -> Logits:
        plan = self.plan
        flips = plan.inference.flips
        with limited_threads(plan.finetune.threads):
            return predict_logits(
                FlippedMean(self.network, flips) if flips else self.network,
                unit,
                patch_size=plan.network.patch_size,
                overlap=plan.inference.overlap,
                windows_per_batch=self.placement.windows_per_batch,
                device=self.device,
                precision=self.precision,
                blend_on_cpu=self.placement.blend_on_cpu,
            )

    def _use_less_memory(self, shape: tuple[int, ...]) -> None:
        placement = self.placement.smaller()
        if placement is None:
            grid = " x ".join(map(str, shape))
            raise RunError(
                f"not enough memory to predict {grid} voxels with {self.labels_count} classes, even "
                f"{self.placement}; close other programs, or predict on a machine with more memory"
            )
        logger.warning("out of memory with %s; going on with %s", self.placement, placement)
        if placement.device != self.device:
            self.network.to(placement.device)
            self.precision = resolve_precision(
                "auto" if self.precision == "fp16" else self.plan.finetune.precision,
                placement.device,
                self.plan.network.patch_size,
            )
        self.placement = placement

    def predict_volume(self, volume: Volume) -> NDArray[np.uint8]:
        """The label map (RAS) of a scan on its own grid, preprocessed as the training cases were."""
        return predict_volume([self], volume)


def load_predictor(
    folder: FinetuneFolder, device: str | torch.device | None = None, flips: str | None = None
) -> Predictor:
    """Load a trained run.

    Args:
        folder: of the run.
        device: as torch spells it; the first GPU, or the CPU, where absent.
        flips: instead of the plan's ``inference.flips``, where given.

    Raises:
        DataError: if nothing ran in the folder.
        RunError: if its training has not ended, its weights are gone, or the flips spoil its results.
        WeightsError: if the weights are damaged.
    """
    run = read_finetune_run(folder)
    refuse_untrained(folder, run)
    return predictor_of(run, load_weights(folder.weights), device, flips)


def predictor_of(
    run: FinetuneRun,
    weights: Mapping[str, Tensor],
    device: str | torch.device | None = None,
    flips: str | None = None,
) -> Predictor:
    """A run's predictor with weights that are at hand, such as those of a step on the way.

    Args:
        run: its record.
        weights: of the whole network.
        device: as torch spells it; the first GPU, or the CPU, where absent.
        flips: instead of the plan's ``inference.flips``, where given.

    Raises:
        RunError: if the flips spoil its results.
        WeightsError: if the weights are not those of the run's network.
    """
    plan = with_flips(run.plan, run.dataset, flips)
    return Predictor(plan, plan.dataset(run.dataset).class_count, weights, device)


def refuse_untrained(folder: FinetuneFolder, run: FinetuneRun) -> None:
    """See that a run can predict.

    Raises:
        RunError: if its training has not ended, or its weights are gone.
    """
    if run.status == "running":
        raise RunError(f"{folder.path}: the training has not ended; to go on, {run.again}")
    if not folder.weights.is_file():
        raise RunError(
            f"{folder.path}: trained, but {folder.weights.name} is gone; put it back, or remove the folder "
            f"and {run.again}"
        )


def predict_volume(predictors: Sequence[Predictor], volume: Volume) -> NDArray[np.uint8]:
    """The label map (RAS) of a scan on its own grid by one network, or by the mean of several."""
    plan = predictors[0].plan
    scores = volume_scores(predictors, volume)
    return to_source_grid(scores, plan.preprocess.spacing_mm, volume.geometry, plan.finetune.threads)


def volume_scores(predictors: Sequence[Predictor], volume: Volume) -> Logits:
    """The class scores of a scan on the plan's grid, as ``ensemble_scores`` gives them."""
    recipe, threads = predictors[0].plan.preprocess, predictors[0].plan.finetune.threads
    image = standardise_image(
        volume.array,
        volume.spacing_mm,
        recipe.spacing_mm,
        recipe.window_hu,
        recipe.intensity_step,
        threads=threads,
    )
    return ensemble_scores(predictors, image)


def ensemble_scores(predictors: Sequence[Predictor], image: NDArray[np.int16]) -> Logits:
    """Class scores on the plan's grid: one network's logits, or the mean of several ones' probabilities."""
    first = predictors[0].predict_resampled(image)
    if len(predictors) == 1:
        return first
    mean = softmax_in_place(first)
    for predictor in predictors[1:]:
        mean += softmax_in_place(predictor.predict_resampled(image))
    mean /= len(predictors)
    return mean


def softmax_in_place(logits: Logits) -> Logits:
    """Turn logits (classes, X, Y, Z) into probabilities, slab by slab, without a second copy of them all."""
    tensor = torch.from_numpy(logits)
    for x in range(0, tensor.shape[1], _SLAB):
        slab = tensor[:, x : x + _SLAB]
        slab.copy_(torch.softmax(slab, dim=0))
    return logits


def to_source_grid(
    scores: Logits, spacing_mm: tuple[float, float, float], geometry: Geometry, threads: int = 1
) -> NDArray[np.uint8]:
    """The class of the largest interpolated score at every voxel of a source grid, in RAS."""
    return upsample_argmax(
        scores,
        ras_shape(geometry),
        spacing_mm=spacing_mm,
        target_spacing_mm=ras_spacing_mm(geometry),
        threads=threads,
    )
