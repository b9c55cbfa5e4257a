"""The same prediction again: what is done and whole is left, what changed is done again."""

import json
import logging

import numpy as np
import pytest

from mixcl_auto.errors import DataError, RunError
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
            sha256 = segment(model, scan, output, wanted)
            segmented.append(scan.name)
            return sha256

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
        return segment(model, scan, output, wanted)

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
    predict, threshold_run, out, caplog
):
    predict(wanted=Wanted(statistics=True, probabilities=True))
    path = threshold_run.images["case_pir"]
    volume = read_image(path)
    write_image(path, np.full_like(volume.array, -1000), volume.spacing_mm, volume.geometry)
    with caplog.at_level(logging.INFO):
        assert predict() == ["case_pir"]
    assert "case_pir/organ.nii.gz, statistics/case_pir.json removed, made of another scan" in caplog.text
    assert not read_labels(out / "case_pir.nii.gz").array.any()
    assert [path.name for path in (out / "probabilities").iterdir()] == ["case_lps"]
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
    document = json.loads(record.to_json())
    del document["written"], document["overlap"]
    path.write_text(json.dumps(document))
    assert predict() == BOTH
    assert predict() == []


def test_another_hash_of_the_plan_does_not_make_other_models(predict, out, caplog):
    """A later version's plan has more fields, so its hash is another one."""
    predict()
    path = out / "prediction.json"
    record = PredictionRecord.from_json(path.read_text(), source="")
    path.write_text(record.model_copy(update={"plan": "0123456789ab", "overlap": None}).to_json())
    assert predict() == []
    assert "other models" not in caplog.text


def test_another_overlap_of_the_windows_is_another_recipe(predict, out):
    predict()
    path = out / "prediction.json"
    record = PredictionRecord.from_json(path.read_text(), source="")
    path.write_text(record.model_copy(update={"overlap": 0.25}).to_json())
    assert predict() == BOTH


@pytest.mark.parametrize("length", [194, 200])
def test_scans_of_the_longest_names_are_recorded(threshold_run, tmp_path, length):
    name = "x" * length
    image = tmp_path / "long" / f"{name}.nii.gz"
    image.parent.mkdir()
    threshold_run.images["case_lps"].rename(image)
    everything = Wanted(probabilities=True, preview=True, statistics=True)
    for _ in range(2):
        predict_files(
            [threshold_run.folder], find_scans(image), tmp_path / "out", wanted=everything, device="cpu"
        )
    text = (tmp_path / "out" / "prediction.json").read_text()
    record = PredictionRecord.from_json(text, source="")
    assert f"statistics/{name}.json" in record.written[name].files


def test_what_another_machine_left_half_written_goes_but_not_from_the_users_folders(predict, out):
    predict()
    places = (".", "previews", "statistics", "probabilities/case_lps", "mine")
    left = [out / place / ".0badcafe-1.case.nii.gz" for place in places]
    for path in left:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    predict()
    assert [path for path in left if path.exists()] == left[-1:]


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


@pytest.mark.parametrize("name", ["x" * 201, "a\x1b[2J"], ids=["long", "control"])
def test_a_scan_whose_name_can_not_be_written_does_not_stop_the_others(threshold_run, tmp_path, name):
    run, out = threshold_run, tmp_path / "out"
    run.images["case_pir"].rename(run.scans / f"{name}.nii.gz")
    with pytest.raises(
        RunError, match=r"1 of 2 scans could not be segmented; [\s\S]*gz: a scan must be a plain name"
    ) as caught:
        predict_files([run.folder], find_scans(run.scans), out, device="cpu")
    assert "\x1b" not in str(caught.value)
    assert (out / "case_lps.nii.gz").is_file()
    run.images["case_lps"].unlink()
    with pytest.raises(DataError, match="a scan must be a plain name"):
        find_scans(run.scans)


def test_a_no_break_space_is_a_space(threshold_run, tmp_path):
    image = threshold_run.scans / "Case\N{NO-BREAK SPACE}1.nii.gz"
    threshold_run.images["case_pir"].rename(image)
    (written,) = predict_files([threshold_run.folder], find_scans(image), tmp_path / "out", device="cpu")
    assert written.name == image.name
    assert written.is_file()
