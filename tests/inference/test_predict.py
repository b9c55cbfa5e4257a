import logging

import numpy as np
import pytest
import SimpleITK
import torch

from mixcl_auto.errors import DataError, RunError, WeightsError
from mixcl_auto.inference.predict import (
    Predictor,
    load_predictor,
    predict_files,
    predict_held_out,
)
from mixcl_auto.inference.predictor import ensemble_scores, softmax_in_place
from mixcl_auto.inference.scans import find_scans
from mixcl_auto.io.case_cache import open_case
from mixcl_auto.io.files import file_sha256
from mixcl_auto.io.images import read_image, read_labels, write_image
from mixcl_auto.io.plans import read_plan
from mixcl_auto.metrics.dice import dice_per_label
from mixcl_auto.records.prediction import HeldOutPredictions
from mixcl_auto.records.record import content_hash


def dice(reference, prediction):
    return dice_per_label(reference.astype(np.uint8), prediction, [1])[1]


def read_record(folder):
    path = folder.prediction_record
    return HeldOutPredictions.from_json(path.read_text(), source=str(path))


def test_held_out_label_maps_have_the_source_grid_and_orientation(threshold_run):
    run = threshold_run
    predict_held_out(run.workspace, run.folder)
    for case, mask in run.masks.items():
        source, written = (
            SimpleITK.ReadImage(str(path)) for path in (run.images[case], run.folder.prediction(case))
        )
        assert written.GetSize() == source.GetSize()
        assert written.GetSpacing() == pytest.approx(source.GetSpacing(), rel=1e-6)
        assert written.GetOrigin() == pytest.approx(source.GetOrigin(), abs=1e-5)
        assert written.GetDirection() == pytest.approx(source.GetDirection(), abs=1e-6)
        assert dice(mask, read_labels(run.folder.prediction(case)).array) > 0.93


def test_resampled_label_maps_are_the_cached_image_above_the_threshold(threshold_run):
    run = threshold_run
    predict_held_out(run.workspace, run.folder)
    for case in run.masks:
        reader = open_case(run.workspace.cached_case("Target", content_hash(run.plan.preprocess), case))
        unit = (reader.image((0, 0, 0), reader.shape) + 150.0) / 400.0
        found = read_labels(run.folder.resampled_prediction(case))
        assert found.spacing_mm == (1.5, 1.5, 2.0)
        np.testing.assert_array_equal(found.array, unit > 0.5625)


def test_prediction_goes_on_where_it_stopped(threshold_run):
    run = threshold_run
    predict_held_out(run.workspace, run.folder)
    assert read_record(run.folder).cases == tuple(run.masks)
    before = len(run.networks)
    predict_held_out(run.workspace, run.folder)
    assert len(run.networks) == before

    run.folder.resampled_prediction("case_pir").unlink()
    first = run.folder.prediction("case_lps").stat().st_mtime_ns
    predict_held_out(run.workspace, run.folder)
    assert run.folder.resampled_prediction("case_pir").is_file()
    assert run.folder.prediction("case_lps").stat().st_mtime_ns == first


def test_predictions_of_other_weights_are_made_again(threshold_run, write_run):
    run = threshold_run
    predict_held_out(run.workspace, run.folder)
    assert read_labels(run.folder.prediction("case_lps")).array.any()
    write_run(run.workspace, run.plan, level=1.5)
    predict_held_out(run.workspace, run.folder)
    assert not read_labels(run.folder.prediction("case_lps")).array.any()
    assert read_record(run.folder).model_sha256 == file_sha256(run.folder.weights)


def test_a_damaged_record_of_predictions_is_said_and_replaced(threshold_run, caplog):
    run = threshold_run
    run.folder.prediction_record.parent.mkdir(parents=True)
    run.folder.prediction_record.write_text("{")
    with caplog.at_level(logging.WARNING):
        predict_held_out(run.workspace, run.folder)
    assert "predicted again" in caplog.text
    assert read_record(run.folder).cases == tuple(run.masks)


def test_a_run_in_training_is_not_predicted(threshold_run, write_run):
    run = threshold_run
    folder = write_run(run.workspace, run.plan, status="running")
    with pytest.raises(RunError, match=r"has not ended; to go on, run `mixcl_auto finetune -d \S+ --fold 0"):
        predict_held_out(run.workspace, folder)
    with pytest.raises(RunError, match="training has not ended"):
        load_predictor(folder)


def test_files_are_segmented_as_the_held_out_cases_are(threshold_run, tmp_path):
    run = threshold_run
    predict_held_out(run.workspace, run.folder)
    written = predict_files([run.folder], find_scans(run.scans), tmp_path / "out")
    assert [path.name for path in written] == ["case_lps.nii.gz", "case_pir.nii.gz"]
    for case, path in zip(run.masks, written, strict=True):
        expected = read_labels(run.folder.prediction(case))
        assert path.read_bytes()
        np.testing.assert_array_equal(read_labels(path).array, expected.array)
        assert read_labels(path).geometry == expected.geometry
    assert read_plan(tmp_path / "out" / "plan.json") == run.plan


def test_an_unreadable_scan_is_named_and_the_others_are_segmented(threshold_run, tmp_path):
    run = threshold_run
    broken = run.scans / "broken.nii.gz"
    broken.write_bytes(b"not an image")
    with pytest.raises(RunError, match=r"1 of 3 scans could not be segmented(.|\n)*broken.nii.gz"):
        predict_files([run.folder], find_scans(run.scans), tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").glob("*.nii.gz")) == [
        "case_lps.nii.gz",
        "case_pir.nii.gz",
    ]


def test_a_scan_that_is_not_in_hu_is_segmented_with_a_warning(threshold_run, tmp_path, caplog):
    image = next(iter(threshold_run.images.values()))
    predict_files([threshold_run.folder], find_scans(image), tmp_path)
    assert "HU" not in caplog.text
    volume = read_image(image)
    write_image(tmp_path / "raw.nii.gz", volume.array + 1024, volume.spacing_mm, volume.geometry)
    (written,) = predict_files([threshold_run.folder], find_scans(tmp_path / "raw.nii.gz"), tmp_path / "out")
    assert written.is_file()
    assert "perhaps 1024 was added" in caplog.text


def test_missing_values_and_an_implausible_voxel_are_told_of(threshold_run, tmp_path, caplog):
    image = next(iter(threshold_run.images.values()))
    volume = read_image(image)
    holed = volume.array.astype(np.float32)
    holed[0, 0, :2] = np.nan
    wide = volume.geometry.model_copy(update={"spacing_mm": (30.0, *volume.geometry.spacing_mm[1:])})
    write_image(tmp_path / "odd.nii.gz", holed, volume.spacing_mm, wide)
    (written,) = predict_files([threshold_run.folder], find_scans(tmp_path / "odd.nii.gz"), tmp_path / "out")
    assert written.is_file()
    assert f"2 of {holed.size} voxels are NaN or infinite; it is segmented as it is" in caplog.text
    assert "a voxel of 30 x 1.2 x 2.5 mm is implausible" in caplog.text


def test_the_only_scans_problem_is_told_as_it_is(threshold_run, tmp_path):
    broken = tmp_path / "broken.nii.gz"
    broken.write_bytes(b"")
    with pytest.raises(DataError, match=r"broken\.nii\.gz: the file is empty"):
        predict_files([threshold_run.folder], find_scans(broken), tmp_path / "out")


def test_an_ensemble_averages_probabilities(threshold_run, write_run):
    run = threshold_run
    folders = [
        write_run(run.workspace, run.plan, fold=fold, level=level) for fold, level in ((1, 0.2), (2, 0.45))
    ]
    predictors = [load_predictor(folder) for folder in folders]
    image = np.linspace(-150, 250, 16**3).astype(np.int16).reshape(16, 16, 16)
    scores = ensemble_scores(predictors, image)
    unit = (image.astype(float) + 150) / 400
    expected = np.mean([1 / (1 + np.exp(-20 * (unit - level))) for level in (0.2, 0.45)], axis=0)
    np.testing.assert_allclose(scores[1], expected, atol=1e-5)
    np.testing.assert_allclose(scores.sum(axis=0), 1, atol=1e-6)


def test_runs_of_other_plans_or_labels_are_not_averaged(threshold_run, write_run, tmp_path):
    run = threshold_run
    other = run.plan.model_copy(
        update={"preprocess": run.plan.preprocess.model_copy(update={"window_hu": (-1.0, 1.0)})}
    )
    folder = write_run(run.workspace, other, fold=1)
    with pytest.raises(RunError, match=r"can't be averaged.*preprocess.window_hu"):
        predict_files([run.folder, folder], find_scans(run.scans), tmp_path / "out")
    dataset = run.plan.datasets[0].model_copy(update={"labels": {"lesion": 1}})
    folder = write_run(run.workspace, run.plan.model_copy(update={"datasets": (dataset,)}), fold=1)
    with pytest.raises(RunError, match="labels: Target and Target"):
        predict_files([run.folder, folder], find_scans(run.scans), tmp_path / "out")
    with pytest.raises(RunError, match="no run to predict with"):
        predict_files([], find_scans(run.scans), tmp_path / "out")


def test_two_scans_of_one_name_are_refused(threshold_run, tmp_path):
    run = threshold_run
    twin = run.scans / "case_lps.nii.gz"
    write_image(twin, np.zeros((4, 4, 4), np.int16), (1.0, 1.0, 1.0))
    with pytest.raises(DataError, match=r"would both be written as case_lps.nii.gz"):
        predict_files([run.folder], find_scans(run.scans), tmp_path / "out")


def test_a_label_map_never_overwrites_its_scan(threshold_run):
    run = threshold_run
    scan = run.scans / "case.nii.gz"
    run.images["case_lps"].rename(scan)
    before = file_sha256(scan)
    with pytest.raises(
        DataError, match=r"case\.nii\.gz: the label map would overwrite .* another output folder"
    ):
        predict_files([run.folder], find_scans(scan), run.scans)
    assert file_sha256(scan) == before


def test_probabilities_slab_by_slab_equal_softmax():
    logits = np.random.default_rng(0).normal(size=(3, 37, 4, 5)).astype(np.float32)
    expected = torch.softmax(torch.from_numpy(logits.copy()), dim=0).numpy()
    np.testing.assert_allclose(softmax_in_place(logits), expected, atol=1e-7)


def test_the_networks_own_weights_predict_and_others_are_refused(plan):
    from mixcl_auto.training.networks import build_network

    torch.manual_seed(0)
    network = build_network(plan.network, out_channels=2).eval()
    predictor = Predictor(plan, 2, network.state_dict(), "cpu")
    image = np.random.default_rng(0).integers(-150, 250, (16, 16, 16)).astype(np.int16)
    with torch.inference_mode():
        unit = torch.from_numpy((image[None, None] + 150.0) / 400.0).float()
        expected = network(unit)[0].numpy()
    ours = predictor.predict_resampled(image)
    atol = {"fp32": 1e-4, "bf16": 0.05}[predictor.precision]
    np.testing.assert_allclose(ours, expected, atol=atol)
    with pytest.raises(WeightsError, match="weights do not fit the plan's network"):
        Predictor(plan, 3, network.state_dict(), "cpu")


def test_volumes_are_predicted_on_their_own_grid(threshold_run):
    run = threshold_run
    predictor = load_predictor(run.folder, "cpu")
    volume = read_image(run.images["case_pir"])
    labels = predictor.predict_volume(volume)
    assert labels.shape == volume.array.shape
    assert dice(run.masks["case_pir"], labels) > 0.93


def test_lost_weights_are_asked_for(threshold_run):
    run = threshold_run
    run.folder.weights.unlink()
    for predict in (
        lambda: predict_held_out(run.workspace, run.folder),
        lambda: load_predictor(run.folder, "cpu"),
    ):
        with pytest.raises(RunError, match=r"trained, but model\.safetensors is gone; put it back"):
            predict()


@pytest.mark.parametrize("degrees", [(17, -11, 14), (40, 38, 33)])
def test_an_oblique_scan_gets_a_label_map_on_exactly_its_grid(threshold_run, tmp_path, degrees):
    run = threshold_run
    a, b, c = np.radians(degrees)
    turn_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    turn_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    turn_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    image = SimpleITK.ReadImage(str(run.images["case_pir"]))
    image.SetDirection((turn_x @ turn_y @ turn_z @ np.diag([1, -1, 1])).ravel().tolist())
    image.SetOrigin((3.25, -71.5, 12.125))
    SimpleITK.WriteImage(image, str(tmp_path / "oblique.mha"))
    (written,) = predict_files(
        [run.folder], find_scans(tmp_path / "oblique.mha"), tmp_path / "out", device="cpu"
    )
    label_map = SimpleITK.ReadImage(str(written))
    assert label_map.GetSize() == image.GetSize()
    np.testing.assert_allclose(label_map.GetSpacing(), image.GetSpacing(), rtol=1e-6)
    np.testing.assert_allclose(label_map.GetOrigin(), image.GetOrigin(), atol=1e-4)
    np.testing.assert_allclose(label_map.GetDirection(), image.GetDirection(), atol=1e-6)
    assert SimpleITK.GetArrayFromImage(label_map).any()
