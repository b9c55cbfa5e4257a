import logging

import pytest

from mixcl_auto.errors import DataError
from mixcl_auto.inference.output_folder import OutputFolder, Wanted
from mixcl_auto.inference.predict import predict_files
from mixcl_auto.inference.scans import find_scans
from mixcl_auto.records.prediction import PredictionRecord

EVERYTHING = Wanted(probabilities=True, preview=True, statistics=True)


def read_record(output):
    path = output / "prediction.json"
    return PredictionRecord.from_json(path.read_text(), source=str(path))


def predict(folder, source, output, **options):
    return predict_files([folder], find_scans(source), output, device="cpu", **options)


def test_the_record_names_models_and_scans(threshold_run, tmp_path):
    run = threshold_run
    predict(run.folder, run.scans, tmp_path / "out")
    record = read_record(tmp_path / "out")
    assert [model.run for model in record.models] == ["Target/scratch/fraction_1/fold_0/seed_0"]
    assert (record.device, record.precision, record.flips) == ("cpu", "fp32", "")
    assert record.scans == ("case_lps", "case_pir")


def test_scans_of_the_same_models_come_together_without_a_warning(threshold_run, tmp_path, caplog):
    run = threshold_run
    for image in run.images.values():
        predict(run.folder, image, tmp_path / "out")
    predict(run.folder, run.images["case_lps"], tmp_path / "out", wanted=EVERYTHING)
    assert read_record(tmp_path / "out").scans == ("case_lps", "case_pir")
    assert "other models" not in caplog.text


def test_what_other_models_left_is_named_until_it_is_gone(threshold_run, write_run, tmp_path, caplog):
    run, output = threshold_run, tmp_path / "out"
    predict(run.folder, run.scans, output, wanted=EVERYTHING)
    other = write_run(run.workspace, run.plan, fold=1, level=0.3)
    for _ in range(2):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            predict(other, run.images["case_lps"], output, wanted=Wanted(preview=True, probabilities=True))
        (message,) = [r.getMessage() for r in caplog.records if "other models" in r.getMessage()]
        assert "case_pir.nii.gz" in message
        assert "previews/case_pir.png" in message
        assert "previews/case_lps.png" not in message
        record = read_record(output)
        assert record.scans == ("case_lps",)
        assert "case_pir" in record.other_scans
    caplog.clear()
    predict(other, run.images["case_pir"], output, wanted=EVERYTHING)
    predict(other, run.images["case_lps"], output, wanted=EVERYTHING)
    assert read_record(output).other_scans == ()
    assert read_record(output).scans == ("case_lps", "case_pir")


def test_a_picture_of_other_models_beside_a_new_label_map_is_named(
    threshold_run, write_run, tmp_path, caplog
):
    run, output = threshold_run, tmp_path / "out"
    predict(run.folder, run.images["case_lps"], output, wanted=Wanted(preview=True))
    other = write_run(run.workspace, run.plan, fold=1, level=0.3)
    with caplog.at_level(logging.WARNING):
        predict(other, run.images["case_lps"], output)
    assert "other models made previews/case_lps.png, and they stay" in caplog.text


def test_other_flips_are_another_recipe(threshold_run, tmp_path, caplog):
    run, output = threshold_run, tmp_path / "out"
    predict(run.folder, run.images["case_lps"], output)
    predict(run.folder, run.images["case_pir"], output, flips="z")
    assert "other models made case_lps.nii.gz" in caplog.text


def test_files_of_other_programs_are_no_concern(threshold_run, tmp_path, caplog):
    run, output = threshold_run, tmp_path / "out"
    output.mkdir()
    (output / "mine.nii.gz").write_bytes(b"0")
    predict(run.folder, run.images["case_lps"], output)
    assert "mine" not in caplog.text
    assert (output / "mine.nii.gz").read_bytes() == b"0"


def test_a_damaged_record_is_said_and_replaced(threshold_run, tmp_path, caplog):
    run, output = threshold_run, tmp_path / "out"
    output.mkdir()
    (output / "prediction.json").write_text("{")
    predict(run.folder, run.images["case_lps"], output)
    assert "it is written anew" in caplog.text
    assert read_record(output).scans == ("case_lps",)


def test_an_image_in_the_place_of_its_label_map_stops_the_prediction_before_any_work(threshold_run, tmp_path):
    run = threshold_run
    image = tmp_path / "ct.nii.gz"
    image.write_bytes(run.images["case_lps"].read_bytes())
    with pytest.raises(DataError, match=r"would overwrite .*ct\.nii\.gz; choose another output folder"):
        predict(run.folder, image, tmp_path)
    assert run.networks == []


def test_organs_get_plain_file_names_that_never_clash(tmp_path):
    paths = OutputFolder(tmp_path).probabilities(
        "a", ["kidney left", "Kidney/Left", "../x", "ö", "kidney_left"]
    )
    assert [path.name for path in paths.values()] == [
        "kidney_left.nii.gz",
        "Kidney_Left_2.nii.gz",
        "_x.nii.gz",
        "ö.nii.gz",
        "kidney_left_3.nii.gz",
    ]
    assert {path.parent for path in paths.values()} == {tmp_path / "probabilities" / "a"}
