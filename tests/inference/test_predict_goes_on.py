"""The same prediction again: what is done and whole is left, what changed is done again."""

import logging

import numpy as np
import pytest

from mixcl_auto.errors import RunError
from mixcl_auto.inference import predict as module
from mixcl_auto.inference.output_folder import Wanted
from mixcl_auto.inference.predict import predict_files
from mixcl_auto.inference.scans import find_scans
from mixcl_auto.io.images import read_image, read_labels, write_image
from mixcl_auto.progress import Silent
from mixcl_auto.records.prediction import PredictionRecord

BOTH = ["case_lps", "case_pir"]


class Told(Silent):
    def __init__(self):
        self.done = None

    def start(self, description, total, done=0):
        self.done = done


@pytest.fixture
def predict(threshold_run, tmp_path, monkeypatch):
    """Predict all scans into ``out``; gives the names of those that were segmented."""
    segment = module.segment_scan

    def run(folder=None, **options):
        segmented = []

        def noted(model, scan, output, wanted):
            segment(model, scan, output, wanted)
            segmented.append(scan.name)

        monkeypatch.setattr(module, "segment_scan", noted)
        folders = [folder or threshold_run.folder]
        scans = find_scans(threshold_run.scans)
        written = predict_files(folders, scans, tmp_path / "out", device="cpu", **options)
        assert [path.name for path in written] == [f"{name}.nii.gz" for name in BOTH]
        return segmented

    return run


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_nothing_is_done_twice_and_the_progress_says_so(predict, out, caplog):
    assert predict() == BOTH
    before, told = contents(out), Told()
    with caplog.at_level(logging.INFO):
        assert predict(progress=told) == []
    assert told.done == 2
    assert "2 of 2 scans were segmented before" in caplog.text
    assert contents(out) == before


def test_a_stopped_prediction_goes_on_and_ends_as_an_undisturbed_one(
    predict, threshold_run, out, monkeypatch
):
    predict(wanted=Wanted(preview=True, statistics=True))
    undisturbed = contents(out)
    out.rename(out.with_name("first"))

    class Killed(BaseException):
        pass

    def killed(model, scan, output, wanted):
        if scan.name == BOTH[1]:
            raise Killed
        segment(model, scan, output, wanted)

    segment = module.segment_scan
    with monkeypatch.context() as patch:
        patch.setattr(module, "segment_scan", killed)
        with pytest.raises(Killed):
            predict_files(
                [threshold_run.folder],
                find_scans(threshold_run.scans),
                out,
                wanted=Wanted(preview=True, statistics=True),
                device="cpu",
            )
    assert predict(wanted=Wanted(preview=True, statistics=True)) == [BOTH[1]]
    assert contents(out) == undisturbed


def test_a_scan_of_other_bytes_is_done_again_and_what_was_told_of_the_old_one_goes(
    predict, threshold_run, out
):
    predict(wanted=Wanted(statistics=True))
    path = threshold_run.images["case_pir"]
    volume = read_image(path)
    write_image(path, np.full_like(volume.array, -1000), volume.spacing_mm, volume.geometry)
    assert predict() == ["case_pir"]
    assert not read_labels(out / "case_pir.nii.gz").array.any()
    assert sorted(path.name for path in (out / "statistics").iterdir()) == ["case_lps.json"]
    assert predict() == []


@pytest.mark.parametrize("spoil", ["remove", "cut"])
def test_a_label_map_that_is_gone_or_not_whole_is_made_again(predict, out, spoil):
    predict()
    path = out / "case_lps.nii.gz"
    before = path.read_bytes()
    if spoil == "remove":
        path.unlink()
    else:
        path.write_bytes(before[:100])
    assert predict() == ["case_lps"]
    assert path.read_bytes() == before


def test_what_is_wanted_besides_is_made_and_what_is_there_suffices_for_less(predict, out):
    predict(wanted=Wanted(statistics=True))
    assert predict() == []
    assert predict(wanted=Wanted(preview=True)) == BOTH
    assert predict(wanted=Wanted(preview=True, statistics=True)) == []


def test_other_models_and_other_flips_do_all_scans_again(predict, threshold_run, write_run, out):
    predict()
    assert predict(flips="z") == BOTH
    assert predict(write_run(threshold_run.workspace, threshold_run.plan, fold=1, level=0.3)) == BOTH
    assert predict() == BOTH


def test_a_record_of_an_earlier_version_is_read_and_its_scans_are_done_again(predict, out):
    predict()
    path = out / "prediction.json"
    record = PredictionRecord.from_json(path.read_text(), source="")
    path.write_text(record.model_copy(update={"written": {}}).to_json())
    assert predict() == BOTH
    assert predict() == []


def test_a_prediction_that_writes_into_the_folder_keeps_a_second_one_out(predict, out):
    from processes import folder_held_elsewhere

    predict()
    with (
        folder_held_elsewhere(out / "prediction.lock", out) as other,
        pytest.raises(RunError, match=rf"out: process {other} on .* has been working on this folder since"),
    ):
        predict()
    assert predict() == []
    assert not (out / "prediction.lock").exists()
