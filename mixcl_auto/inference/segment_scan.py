"""One scan from its file to its label map and what is wanted beside it."""

import logging
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from mixcl_auto.errors import DataError
from mixcl_auto.inference.ensemble import Ensemble
from mixcl_auto.inference.output_folder import OutputFolder, Wanted
from mixcl_auto.inference.predictor import Logits, to_source_grid, volume_scores
from mixcl_auto.inference.preview import draw_preview
from mixcl_auto.inference.scans import Scan, read_scan
from mixcl_auto.inference.statistics import scan_statistics
from mixcl_auto.io.dicom_seg import write_segmentation
from mixcl_auto.io.files import write_text
from mixcl_auto.io.hounsfield import implausible_hu
from mixcl_auto.io.images import Volume, write_labels
from mixcl_auto.io.intensity_statistics import intensity_statistics
from mixcl_auto.io.orientation import ras_spacing_mm
from mixcl_auto.io.plausible_size import implausible_extent, implausible_spacing
from mixcl_auto.io.probabilities import probability_files, storage_axes
from mixcl_auto.records.case import Geometry
from mixcl_auto.records.record import content_hash
from mixcl_auto.transforms.label_tally import tally_labels
from mixcl_auto.transforms.probability_upsampling import OutputAxis, probability_planes

logger = logging.getLogger(__name__)


def segment_scan(model: Ensemble, scan: Scan, output: OutputFolder, wanted: Wanted) -> str:
    """Segment one scan on its own grid and write what is wanted.

    Returns:
        Hash of the bytes that the scan was read from.

    Raises:
        DataError: if the scan can't be read, or its label map would overwrite it.
        RunError: if a logit is not finite, or there is not enough memory.
    """
    path = output.label_map(scan.name)
    volume, files, sha256 = read_scan(scan)
    if path.resolve() in {file.resolve() for file in files}:
        raise DataError(f"{scan.path}: the label map would overwrite {path}; choose another output folder")
    for doubt in _doubts(volume, is_ct=model.is_ct):
        logger.warning("%s: %s; it is segmented as it is", scan.path, doubt)
    scores = volume_scores(model.predictors, volume)
    plan = model.plan
    labels = to_source_grid(scores, plan.preprocess.spacing_mm, volume.geometry, plan.finetune.threads)
    if output.label_format == "nifti":
        write_labels(path, labels, volume.geometry)
    else:
        recipe = {"plan": content_hash(plan), "runs": ";".join(one.run for one in model.models)}
        write_segmentation(path, labels, volume.geometry, files, model.labels, parameters=recipe)
    if wanted.probabilities:
        _write_probabilities(model, scan, output, scores, volume.geometry)
    del scores
    _describe(model, scan, output, wanted, volume, labels)
    return sha256


def _write_probabilities(
    model: Ensemble, scan: Scan, output: OutputFolder, scores: Logits, geometry: Geometry
) -> None:
    paths = output.probabilities(scan.name, model.labels)
    planes = probability_planes(
        scores,
        [OutputAxis(*axis) for axis in storage_axes(geometry)],
        [model.labels[organ] for organ in paths],
        spacing_mm=model.plan.preprocess.spacing_mm,
        target_spacing_mm=ras_spacing_mm(geometry),
        are_logits=len(model.predictors) == 1,
        threads=model.plan.finetune.threads,
    )
    with probability_files(list(paths.values()), geometry) as write:
        for part in planes:
            write(part)


def _describe(
    model: Ensemble,
    scan: Scan,
    output: OutputFolder,
    wanted: Wanted,
    volume: Volume,
    labels: NDArray[np.uint8],
) -> None:
    """Write statistics and picture, where they are wanted."""
    if not (wanted.preview or wanted.statistics):
        return
    tally = tally_labels(labels, volume.array, max(model.labels.values(), default=0))
    if wanted.statistics:
        found = scan_statistics(scan.name, volume, tally, model.labels, is_ct=model.is_ct)
        write_text(output.statistics(scan.name), found.to_json())
    if wanted.preview:
        draw_preview(
            output.preview(scan.name),
            volume,
            labels,
            tally,
            model.labels,
            name=scan.name,
            window=model.plan.preprocess.window_hu,
        )


def _doubts(volume: Volume, *, is_ct: bool) -> Iterator[str]:
    """What validation would say of such a scan in a dataset: such as a label map among the scans."""
    values = volume.array
    if values.dtype.kind == "f" and not (is_finite := np.isfinite(values)).all():
        values = values[is_finite]
        yield f"{volume.array.size - values.size} of {volume.array.size} voxels are NaN or infinite"
    if doubt := implausible_spacing(volume.geometry) or implausible_extent(volume.geometry):
        yield doubt
    statistics = intensity_statistics(values) if is_ct else None
    if statistics is not None and (doubt := implausible_hu(statistics)):
        yield doubt
