"""Scans without a Hounsfield scale through every stage, on the CT phantoms in other units."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK

import mixcl_auto
from mixcl_auto.errors import PlanError
from mixcl_auto.io.case_cache import open_case
from mixcl_auto.io.images import read_image, read_labels
from mixcl_auto.io.plans import read_fingerprint, read_plan
from mixcl_auto.io.runs import read_finetune_run
from mixcl_auto.io.workspace import Workspace
from mixcl_auto.records.record import content_hash
from mixcl_auto.transforms.resampling import resample_image

sitk = SimpleITK
SPACING_MM = (12.0, 12.0, 13.0)
DATASETS = ("Pool_Liver", "Target_Abdomen")


def unit_float(hu: np.ndarray) -> np.ndarray:
    """An MRI scaled to 0-1."""
    return (np.clip(hu, -1024, 1024) + 1024).astype(np.float32) / 2048


def wide_uint16(hu: np.ndarray) -> np.ndarray:
    """0 to 60000, beyond int16."""
    return ((np.clip(hu, -1000, 1000) + 1000.0) * 30).astype(np.uint16)


def negative_float(hu: np.ndarray) -> np.ndarray:
    """Some -9 to 1, most of it below 0."""
    return (hu / 200.0 - 4).astype(np.float32)


@pytest.fixture
def make_workspace(phantom_raw_data: Path, tmp_path: Path) -> Callable[..., Workspace]:
    """Builds a workspace of phantoms in other units."""

    def make(convert: Callable[[np.ndarray], np.ndarray], channel: str) -> Workspace:
        workspace = Workspace(tmp_path)
        for name in DATASETS:
            folder = workspace.raw_data / name
            shutil.copytree(phantom_raw_data / name, folder)
            for path in (folder / "imagesTr").iterdir():
                image = sitk.ReadImage(str(path))
                converted = sitk.GetImageFromArray(convert(sitk.GetArrayFromImage(image)))
                converted.CopyInformation(image)
                sitk.WriteImage(converted, str(path))
            description = json.loads((folder / "dataset.json").read_text())
            description["channel_names"] = {"0": channel}
            (folder / "dataset.json").write_text(json.dumps(description))
        return workspace

    return make


@pytest.mark.parametrize(
    ("convert", "channel", "step"),
    [(unit_float, "T1w", 2.0**-15), (wide_uint16, "MRI", 2.0), (negative_float, "PET", 2.0**-13)],
)
def test_other_modalities_go_through_every_stage(
    make_workspace: Callable[..., Workspace],
    tiny_edits: tuple[str, ...],
    convert: Callable[[np.ndarray], np.ndarray],
    channel: str,
    step: float,
) -> None:
    """The labelled voxels span a tenth of the values, far from 0: int16 holds no finer step than that."""
    workspace = make_workspace(convert, channel)
    edits = (*tiny_edits, "pretrain.iterations=1", "finetune.iterations=2")
    done = mixcl_auto.plan_and_preprocess(workspace, preset="tiny", spacing=SPACING_MM, edits=edits, jobs=1)
    assert not done.failures
    recipe = done.plan.preprocess
    assert recipe.intensity_step == step
    assert 2048 <= (recipe.window_hu[1] - recipe.window_hu[0]) / step <= 16384
    rules = {item.field: item for item in done.plan.decisions}
    assert f"{channel.upper()} has no Hounsfield scale" in rules["preprocess.window_hu"].reason

    for dataset in done.plan.datasets:
        for case in read_fingerprint(workspace, dataset).cases:
            volume = read_image(workspace.raw_data / dataset.name / "imagesTr" / f"{case.id}_0000.nii.gz")
            assert case.image.minimum == pytest.approx(float(volume.array.min()), rel=1e-6)
            assert case.image.median == pytest.approx(float(np.median(volume.array)), rel=1e-6, abs=1e-6)
            expected = np.clip(resample_image(volume.array, case.spacing_mm, SPACING_MM), *recipe.window_hu)
            cached = open_case(workspace.cached_case(dataset.name, content_hash(recipe), case.id))
            values = cached.image((0, 0, 0), cached.shape) * step
            np.testing.assert_allclose(values, expected, rtol=1e-6, atol=0.5001 * step)

    mixcl_auto.pretrain(workspace, device="cpu")
    mixcl_auto.finetune(workspace, fold=0, fraction=0.25, device="cpu")
    run = workspace.finetune("plan", "Target_Abdomen", "mixcl", 0.25, 0, 0)
    (case,) = read_finetune_run(run).held_out_cases
    scan = workspace.raw_data / "Target_Abdomen" / "imagesTr" / f"{case}_0000.nii.gz"
    (written,) = mixcl_auto.predict(scan, workspace.root / "out", workspace, fraction=0.25, device="cpu")
    np.testing.assert_array_equal(read_labels(written).array, read_labels(run.prediction(case)).array)


def test_ct_and_another_modality_in_one_plan_are_refused(
    make_workspace: Callable[..., Workspace], phantom_raw_data: Path
) -> None:
    workspace = make_workspace(unit_float, "MRI")
    (workspace.raw_data / "Pool_Kidneys").symlink_to(phantom_raw_data / "Pool_Kidneys")
    with pytest.raises(PlanError, match=r"one plan has one modality, got CT, MRI; .*with -d"):
        mixcl_auto.plan_and_preprocess(workspace, preset="tiny", jobs=1)
    mixcl_auto.plan_and_preprocess(workspace, preset="tiny", jobs=1, datasets=DATASETS, plan_only=True)
    assert [dataset.name for dataset in read_plan(workspace.plan("plan")).datasets] == list(DATASETS)
    assert not workspace.preprocessed.exists()


def test_scans_from_0_to_1_taken_for_ct_are_warned_of(make_workspace: Callable[..., Workspace]) -> None:
    workspace = make_workspace(unit_float, "ct")
    done = mixcl_auto.plan_and_preprocess(
        workspace, preset="tiny", jobs=1, window=(0, 1), spacing=SPACING_MM, plan_only=True
    )
    assert done.plan.preprocess.intensity_step == 1
    text = "\n".join(done.plan.warnings)
    assert "the window from 0 to 1 has 1 steps of 1 in the cache" in text
    assert "not HU; give the scan as the scanner wrote it (and 1 more of this kind)" in text
