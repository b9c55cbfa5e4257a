"""What lies beside a label map: probabilities, statistics, picture."""

import json

import numpy as np
import pytest
import SimpleITK
from matplotlib.image import imread

from mixcl_auto.inference.ensemble import load_ensemble
from mixcl_auto.inference.output_folder import Wanted
from mixcl_auto.inference.predict import predict_files
from mixcl_auto.inference.scans import find_scans
from mixcl_auto.io.images import read_image, read_labels

ALL = Wanted(probabilities=True, preview=True, statistics=True)


def predict(run, folders, output, **options):
    options.setdefault("wanted", ALL)
    return predict_files(folders, find_scans(run.scans), output, device="cpu", **options)


def two_runs(run, write_run):
    return [
        write_run(run.workspace, run.plan, fold=fold, level=level) for fold, level in ((1, 0.3), (2, 0.45))
    ]


@pytest.mark.parametrize("ensemble", [False, True])
def test_the_label_map_is_the_most_probable_class_up_to_the_rounding(
    threshold_run, write_run, tmp_path, ensemble
):
    run = threshold_run
    folders = two_runs(run, write_run) if ensemble else [run.folder]
    for path in predict(run, folders, tmp_path / "out"):
        labels = SimpleITK.ReadImage(str(path))
        name = path.name.removesuffix(".nii.gz")
        image = SimpleITK.ReadImage(str(tmp_path / "out" / "probabilities" / name / "organ.nii.gz"))
        assert image.GetSize() == labels.GetSize()
        assert image.GetOrigin() == labels.GetOrigin()
        assert image.GetDirection() == labels.GetDirection()
        probability = SimpleITK.GetArrayFromImage(image)
        found = SimpleITK.GetArrayFromImage(labels) == 1
        assert found.any()
        assert 0 <= probability.min() < 0.1
        assert 0.9 < probability.max() <= 1
        assert (probability[found] >= 0.5 - 0.5 / 255).all()
        assert (probability[~found] <= 0.5 + 0.5 / 255).all()


def test_probabilities_of_an_ensemble_are_the_mean_of_its_members(threshold_run, write_run, tmp_path):
    run = threshold_run
    folders = two_runs(run, write_run)
    means = []
    for number, chosen in enumerate((folders[:1], folders[1:], folders)):
        predict(run, chosen, tmp_path / str(number), wanted=Wanted(probabilities=True))
        means.append(read_image(tmp_path / str(number) / "probabilities" / "case_lps" / "organ.nii.gz").array)
    first, second, both = means
    # Where the scan is level, interpolation before the softmax or after it is nearly the same.
    image = read_image(run.images["case_lps"]).array
    level = np.zeros(image.shape, bool)
    level[3:-3, 3:-3, 3:-3] = True
    for axis in range(3):
        for step in (-3, -2, -1, 1, 2, 3):
            level &= np.roll(image, step, axis) == image
    assert np.abs(first[level] - second[level]).max() > 0.2
    np.testing.assert_allclose(both[level], (first[level] + second[level]) / 2, atol=0.03)


def test_statistics_are_those_of_the_label_map_on_the_scan(threshold_run, tmp_path):
    run = threshold_run
    for path in predict(run, [run.folder], tmp_path / "out"):
        name = path.name.removesuffix(".nii.gz")
        mask, image = read_labels(path), read_image(run.images[name])
        values = image.array[mask.array == 1]
        document = json.loads((tmp_path / "out" / "statistics" / f"{name}.json").read_text())
        organ = document["organs"]["organ"]
        assert document["scan"] == name
        assert document["spacing_mm"] == pytest.approx(image.spacing_mm)
        assert (organ["label"], organ["voxels"]) == (1, values.size)
        assert organ["volume_ml"] == pytest.approx(values.size * np.prod(image.spacing_mm) / 1000, abs=1e-3)
        assert organ["mean_hu"] == pytest.approx(values.mean(), abs=0.006)
        assert organ["standard_deviation_hu"] == pytest.approx(values.std(), abs=0.006)
        widths = [np.ptp(where) + 1 for where in np.nonzero(mask.array == 1)]
        assert organ["extent_mm"] == pytest.approx(np.multiply(widths, image.spacing_mm), abs=0.006)
        assert organ["touches"] == []


def test_a_scan_of_another_modality_has_intensities_and_no_hu(threshold_run, write_run, tmp_path):
    run = threshold_run
    dataset = run.plan.datasets[0].model_copy(update={"channel_name": "T2"})
    plan = run.plan.model_copy(update={"datasets": (dataset,)})
    predict(run, [write_run(run.workspace, plan)], tmp_path / "out")
    text = (tmp_path / "out" / "statistics" / "case_lps.json").read_text()
    assert "mean_intensity" in text
    assert "hu" not in text


def test_an_organ_at_the_scans_end_touches_it_and_an_absent_one_has_no_mean(
    threshold_run, write_run, tmp_path
):
    run = threshold_run
    everything = write_run(run.workspace, run.plan, fold=1, level=-1.0)
    nothing = write_run(run.workspace, run.plan, fold=2, level=1.5)
    for folder, name in ((everything, "everything"), (nothing, "nothing")):
        predict(run, [folder], tmp_path / name)
    full, empty = (
        json.loads((tmp_path / name / "statistics" / "case_pir.json").read_text())["organs"]["organ"]
        for name in ("everything", "nothing")
    )
    assert full["touches"] == ["left", "right", "posterior", "anterior", "inferior", "superior"]
    assert empty["mean_hu"] is None
    assert (empty["voxels"], empty["touches"], empty["extent_mm"]) == (0, [], [0.0, 0.0, 0.0])


def test_a_picture_shows_the_organ_in_its_colour_and_differs_where_none_is_found(
    threshold_run, write_run, tmp_path
):
    run = threshold_run
    predict(run, [run.folder], tmp_path / "some")
    predict(run, [write_run(run.workspace, run.plan, fold=2, level=1.5)], tmp_path / "none")
    some, none = (imread(tmp_path / name / "previews" / "case_lps.png")[..., :3] for name in ("some", "none"))

    def coloured(picture):
        return (np.ptp(picture, axis=2) > 0.25).mean()

    assert coloured(some) > 0.005
    assert coloured(none) < 0.0005


def test_nothing_but_label_maps_and_their_origin_is_written_unless_asked_for(threshold_run, tmp_path):
    predict(threshold_run, [threshold_run.folder], tmp_path / "out", wanted=Wanted())
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "case_lps.nii.gz",
        "case_pir.nii.gz",
        "plan.json",
        "prediction.json",
    ]


def test_the_weights_of_each_run_are_loaded_once_whatever_the_number_of_scans(
    threshold_run, write_run, tmp_path
):
    run = threshold_run
    predict(run, two_runs(run, write_run), tmp_path / "out")
    assert len(run.networks) == 2


def test_flips_of_one_call_are_in_the_plan_beside_the_label_maps(threshold_run, tmp_path):
    run = threshold_run
    plain = predict(run, [run.folder], tmp_path / "plain", wanted=Wanted())
    flipped = predict(run, [run.folder], tmp_path / "flipped", flips="xz", wanted=Wanted())
    document = json.loads((tmp_path / "flipped" / "plan.json").read_text())
    assert document["inference"]["flips"] == "xz"
    assert json.loads((tmp_path / "flipped" / "prediction.json").read_text())["flips"] == "xz"
    # A threshold knows no direction, so flips change nothing.
    for one, other in zip(plain, flipped, strict=True):
        np.testing.assert_array_equal(read_labels(one).array, read_labels(other).array)


def test_an_ensemble_knows_its_runs_by_the_hash_of_their_weights(threshold_run, write_run):
    models = load_ensemble(two_runs(threshold_run, write_run), "cpu").models
    assert [model.run for model in models] == [
        f"Target/scratch/fraction_1/fold_{fold}/seed_0" for fold in (1, 2)
    ]
    assert len({model.weights_sha256 for model in models}) == 2
