"""DICOM series: which is read, its order, geometry and HU, and every fault by name."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from dicom_series import series_geometry, tilted_direction, write_series
from pydicom import dcmread
from pydicom.uid import (
    EnhancedCTImageStorage,
    ImplicitVRLittleEndian,
    MRImageStorage,
    RLELossless,
    RTStructureSetStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)

from mixcl_auto.errors import DataError
from mixcl_auto.io.case_files import image_sha256, label_volume
from mixcl_auto.io.dicom import choose_series, find_series, read_series
from mixcl_auto.io.images import read_file, read_geometry, read_image, write_image, write_labels
from mixcl_auto.io.inspection import inspect_case
from mixcl_auto.io.itk import sitk
from mixcl_auto.io.orientation import corners_mm
from mixcl_auto.records.case import RawCase

SHAPE = (12, 10, 8)
CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, -1.0, 0.0)
FEET_FIRST_SUPINE = (-1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
PRONE = (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0)


@pytest.fixture
def hu():
    return np.random.default_rng(0).integers(-1024, 2000, SHAPE).astype(np.int16)


@pytest.fixture
def grid():
    return series_geometry(SHAPE)


def assert_same_grid(found, expected):
    assert found.size == expected.size
    np.testing.assert_allclose(found.spacing_mm, expected.spacing_mm, atol=1e-5)
    np.testing.assert_allclose(found.origin_mm, expected.origin_mm, atol=1e-5)
    np.testing.assert_allclose(found.direction, expected.direction, atol=1e-5)
    assert found.orientation == expected.orientation


# What is written is read


@pytest.mark.parametrize(
    "direction",
    [
        tilted_direction("x", 0),
        FEET_FIRST_SUPINE,
        PRONE,
        CORONAL,
        tilted_direction("x", 12),
        tuple(np.reshape(tilted_direction("x", 12), (3, 3)) @ np.reshape(tilted_direction("z", 7), (3, 3))),
    ],
    ids=["head_first", "feet_first", "prone", "coronal", "oblique", "doubly_oblique"],
)
def test_hu_and_geometry_come_back_exactly(tmp_path, hu, direction):
    grid = series_geometry(SHAPE, direction=tuple(float(value) for value in np.ravel(direction)))
    write_series(tmp_path, hu, grid)
    content = read_file(tmp_path)
    assert content.values_ijk.dtype == np.int16
    np.testing.assert_array_equal(content.values_ijk, hu)
    assert_same_grid(content.geometry, grid)
    assert_same_grid(read_geometry(tmp_path), grid)


def test_the_stack_is_itks_own(tmp_path, hu):
    """But for the order of the bytes: ITK's series reader must not be better informed than we are."""
    write_series(tmp_path, hu, series_geometry(SHAPE, direction=tilted_direction("y", 20)))
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path)))
    theirs, ours = reader.Execute(), read_file(tmp_path)
    np.testing.assert_array_equal(ours.values_ijk, sitk.GetArrayFromImage(theirs).transpose(2, 1, 0))
    np.testing.assert_allclose(ours.geometry.direction, theirs.GetDirection(), atol=1e-9)
    np.testing.assert_allclose(ours.geometry.origin_mm, theirs.GetOrigin(), atol=1e-9)
    np.testing.assert_allclose(ours.geometry.spacing_mm, theirs.GetSpacing(), atol=1e-5)


def test_neither_names_nor_instance_numbers_order_slices(tmp_path, hu, grid):
    order = np.random.default_rng(1).permutation(SHAPE[2])

    def reverse(k, dataset):
        dataset.InstanceNumber = SHAPE[2] - k

    files = write_series(tmp_path, hu, grid, name=lambda k: f"IM{order[k]:05d}", edit=reverse)
    (series,) = find_series(tmp_path)
    assert list(series.files) == files
    np.testing.assert_array_equal(read_series(series).values_ijk, hu)


def test_a_series_is_the_same_scan_as_its_nifti(tmp_path, hu):
    grid = series_geometry(SHAPE, direction=FEET_FIRST_SUPINE)
    write_series(tmp_path / "series", hu, grid)
    image = sitk.GetImageFromArray(hu.transpose(2, 1, 0))
    image.SetSpacing(grid.spacing_mm)
    image.SetOrigin(grid.origin_mm)
    image.SetDirection(grid.direction)
    sitk.WriteImage(image, str(tmp_path / "scan.nii.gz"))
    series, nifti = read_image(tmp_path / "series"), read_image(tmp_path / "scan.nii.gz")
    np.testing.assert_array_equal(series.array, nifti.array)
    np.testing.assert_allclose(corners_mm(series.geometry), corners_mm(nifti.geometry), atol=1e-3)


@pytest.mark.parametrize(("signed", "intercept"), [(False, -1024.0), (True, 0.0), (True, -1000.0)])
@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, RLELossless])
def test_stored_number_and_transfer_syntax_do_not_change_hu(tmp_path, hu, grid, signed, intercept, syntax):
    write_series(tmp_path, hu, grid, signed=signed, intercept=intercept, transfer_syntax=syntax)
    np.testing.assert_array_equal(read_file(tmp_path).values_ijk, hu)


def test_each_slice_has_its_own_rescale(tmp_path, grid):
    hu = np.random.default_rng(0).integers(-500, 1000, SHAPE) * 2.0
    hu[:, :, 5] += 0.5
    slopes = [1.0, 2.0, 0.5, 1.0, 2.0, 0.5, 0.25, 1.0]
    intercepts = [-1024.0, -2000.0, -1000.0, -3000.0, -1024.0, -1024.0, -1024.0, -2048.0]
    write_series(tmp_path, hu, grid, slope=slopes, intercept=intercepts)
    content = read_file(tmp_path)
    assert content.values_ijk.dtype == np.float32
    np.testing.assert_array_equal(content.values_ijk, hu)


def test_whole_hu_are_int16_whatever_the_slopes(tmp_path, hu, grid):
    write_series(tmp_path, hu, grid, slope=0.5)
    content = read_file(tmp_path)
    assert content.values_ijk.dtype == np.int16
    np.testing.assert_array_equal(content.values_ijk, hu)


def test_padding_outside_the_field_of_view_is_left(tmp_path, hu, grid):
    hu[:3] = -3024

    def pad(k, dataset):
        dataset.add_new("PixelPaddingValue", "SS", -2000)

    write_series(tmp_path, hu, grid, signed=True, edit=pad)
    np.testing.assert_array_equal(read_file(tmp_path).values_ijk, hu)


def test_other_modalities_are_read(tmp_path, grid):
    values = np.random.default_rng(0).integers(0, 900, SHAPE)
    write_series(tmp_path, values, grid, modality="MR", sop_class=MRImageStorage, intercept=0)
    np.testing.assert_array_equal(read_file(tmp_path).values_ijk, values)


def test_files_without_preamble_are_read(tmp_path, hu, grid):
    for file in write_series(tmp_path, hu, grid, transfer_syntax=ImplicitVRLittleEndian):
        dataset = dcmread(file)
        file.write_bytes(b"")
        del dataset.file_meta
        dataset.preamble = None
        dataset.save_as(file, implicit_vr=True, little_endian=True, enforce_file_format=False)
        assert file.read_bytes()[128:132] != b"DICM"
    np.testing.assert_array_equal(read_file(tmp_path).values_ijk, hu)


# Rounding, as scanners do it


def test_positions_with_one_decimal_are_even(tmp_path, hu):
    grid = series_geometry(SHAPE, spacing_mm=(0.8, 0.8, 0.625), origin_mm=(-120.5, -98.2, -310.0))

    def round_position(k, dataset):
        dataset.ImagePositionPatient = [f"{float(value):.1f}" for value in dataset.ImagePositionPatient]

    write_series(tmp_path, hu, grid, edit=round_position)
    assert read_geometry(tmp_path).spacing_mm == pytest.approx((0.8, 0.8, 0.625), abs=0.02)


def test_rounded_positions_of_an_oblique_series_are_no_tilt(tmp_path):
    """Each step seems to go sideways: 0.09 mm along y, written as 0.1 mm or as nothing."""
    values = np.zeros((4, 4, 120), np.int16)
    grid = series_geometry(values.shape, spacing_mm=(0.8, 0.8, 2.5), direction=tilted_direction("x", 2.06))

    def round_position(k, dataset):
        dataset.ImagePositionPatient = [f"{float(value):.1f}" for value in dataset.ImagePositionPatient]

    write_series(tmp_path, values, grid, edit=round_position)
    assert read_geometry(tmp_path).size == (4, 4, 120)


def test_directions_with_four_decimals_are_made_rectangular(tmp_path, hu):
    direction = tilted_direction("x", 17)

    def round_axes(k, dataset):
        dataset.ImageOrientationPatient = [f"{float(v):.4f}" for v in dataset.ImageOrientationPatient]

    write_series(tmp_path, hu, series_geometry(SHAPE, direction=direction), edit=round_axes)
    found = np.reshape(read_geometry(tmp_path).direction, (3, 3))
    np.testing.assert_allclose(found @ found.T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(found.ravel(), direction, atol=1e-3)


# Which series


def write_study(folder, hu):
    """A localiser (1), an axial series (2), a larger one of thin slices (5) and coronal reformats (6)."""
    write_series(
        folder / "a", hu[:, :, :1], series_geometry((12, 10, 1), direction=CORONAL), series_uid="1.1"
    )
    write_series(folder / "b", hu[:, :, :5], series_geometry((12, 10, 5)), number=2, series_uid="1.2")
    write_series(folder / "c", hu, series_geometry(SHAPE), number=5, series_uid="1.5")
    many = np.concatenate([hu, hu], axis=2)
    write_series(
        folder / "d", many, series_geometry(many.shape, direction=CORONAL), number=6, series_uid="1.6"
    )


def test_the_largest_axial_series_is_taken_and_said(tmp_path, hu):
    write_study(tmp_path, hu)
    series, note = choose_series(tmp_path)
    assert (series.uid, series.number, series.modality) == ("1.5", 5, "CT")
    assert note.startswith(
        "series 5 (CT, 8 slices of 12 x 10, 0.8 x 0.9 x 2.5 mm) was taken of 4 (the largest axial one); for "
        "another give its number or UID (`series` in dataset.json, `--series` in predict). The others are: "
        "series 1 (CT, 1 slice of 12 x 10"
    )
    assert [one.number for one in find_series(tmp_path)] == [1, 2, 5, 6]


@pytest.mark.parametrize("wanted", ["2", "1.2"])
def test_the_series_asked_for_is_taken_by_number_or_uid(tmp_path, hu, wanted):
    write_study(tmp_path, hu)
    series, note = choose_series(tmp_path, wanted)
    assert (series.number, note) == (2, None)
    np.testing.assert_array_equal(read_file(tmp_path, wanted).values_ijk, hu[:, :, :5])


def test_a_single_series_needs_no_note(tmp_path, hu, grid):
    write_series(tmp_path / "deep" / "below", hu, grid)
    assert choose_series(tmp_path)[1] is None
    assert read_file(tmp_path).note is None


def test_an_unknown_series_lists_what_there_is(tmp_path, hu):
    write_study(tmp_path, hu)
    with pytest.raises(
        DataError,
        match=r"no series 7\. The folder holds: series 1 \(CT, 1 slice .*\) 1\.1; series 2 .* 1\.6$",
    ):
        choose_series(tmp_path, "7")


def test_a_number_that_two_series_share_asks_for_the_uid(tmp_path, hu, grid):
    for uid in ("1.1", "1.2"):
        write_series(tmp_path / uid, hu, grid, number=3, series_uid=uid)
    with pytest.raises(
        DataError, match=r"2 series have number 3; give a UID: series 3 .* 1\.1; series 3 .* 1\.2"
    ):
        choose_series(tmp_path, "3")
    assert choose_series(tmp_path, "1.2")[0].uid == "1.2"


def test_equal_series_are_settled_by_the_uid(tmp_path, hu, grid):
    for uid in ("1.9", "1.10"):
        write_series(tmp_path / uid, hu, grid, number=None, series_uid=uid)
    series, note = choose_series(tmp_path)
    assert series.uid == "1.10"
    assert note.startswith("series 1.10 (CT, ")


def test_ct_goes_before_a_larger_series_of_another_modality(tmp_path, hu, grid):
    write_series(tmp_path / "pt", hu, grid, modality="PT", number=1)
    write_series(tmp_path / "ct", hu[:, :, :6], series_geometry((12, 10, 6)), number=2)
    assert choose_series(tmp_path)[0].modality == "CT"


def test_without_an_axial_series_the_largest_is_taken_and_said(tmp_path, hu):
    for number, slices in ((1, 4), (2, 8)):
        shape = (12, 10, slices)
        write_series(
            tmp_path / str(number),
            hu[:, :, :slices],
            series_geometry(shape, direction=CORONAL),
            number=number,
        )
    series, note = choose_series(tmp_path)
    assert series.number == 2
    assert "was taken of 2 (the largest one, none is axial)" in note


def test_series_of_several_patients_are_not_chosen_from(tmp_path, hu, grid):
    for patient in ("Somebody", "Else"):
        write_series(tmp_path / patient, hu, grid, patient_id=patient, series_uid=f"1.{len(patient)}")
    with pytest.raises(DataError, match="2 series of 2 patients; give the folder of one patient") as problem:
        choose_series(tmp_path)
    assert "Somebody" not in str(problem.value).removeprefix(str(tmp_path))
    assert choose_series(tmp_path, "1.8")[0].uid == "1.8"


def test_patients_are_never_shown(tmp_path, hu, grid):
    write_series(tmp_path, hu, grid, patient_id="Somebody")
    (series,) = find_series(tmp_path)
    assert "Somebody" not in repr(series) + str(series)


def test_what_is_no_slice_is_skipped(tmp_path, hu, grid):
    files = write_series(tmp_path, hu, grid, series_uid="1.1")

    def rtstruct(k, dataset):
        del dataset.PixelData

    def colour(k, dataset):
        dataset.PhotometricInterpretation, dataset.SamplesPerPixel, dataset.PlanarConfiguration = "RGB", 3, 0
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
        dataset.PixelData = bytes(12 * 10 * 3)

    def report(k, dataset):
        del dataset.ImagePositionPatient, dataset.ImageOrientationPatient

    many = np.concatenate([hu, hu], axis=2)
    big = series_geometry(many.shape)
    for name, sop_class, edit in (
        ("struct", RTStructureSetStorage, rtstruct),
        ("seg", SegmentationStorage, None),
        ("colour", SecondaryCaptureImageStorage, colour),
        ("report", SecondaryCaptureImageStorage, report),
    ):
        write_series(tmp_path, many, big, sop_class=sop_class, edit=edit, name=(name + "{}.dcm").format)
    (tmp_path / "LICENSE").write_text("text")
    (tmp_path / "._slice_0000.dcm").write_bytes(b"mac")
    (series,) = find_series(tmp_path)
    assert list(series.files) == files
    assert choose_series(tmp_path) == (series, None)


def test_links_to_folders_are_followed_once(tmp_path, hu, grid):
    write_series(tmp_path / "far", hu, grid)
    (tmp_path / "scan").mkdir()
    (tmp_path / "scan" / "link").symlink_to(tmp_path / "far")
    (tmp_path / "scan" / "again").symlink_to(tmp_path / "far")
    (tmp_path / "scan" / "loop").symlink_to(tmp_path / "scan")
    np.testing.assert_array_equal(read_file(tmp_path / "scan").values_ijk, hu)


# Faults


def problem_of(folder):
    with pytest.raises(DataError) as problem:
        read_file(folder)
    return str(problem.value).removeprefix(f"{folder}: ")


def test_missing_slices_name_the_gap(tmp_path, hu, grid):
    files = write_series(tmp_path, hu, grid)
    files[3].unlink()
    assert problem_of(tmp_path) == (
        "series 1 (CT, 7 slices of 12 x 10, 0.8 x 0.9 x 2.5 mm): between slices at z = -305 mm and "
        "z = -300 mm (slice_0002.dcm and slice_0004.dcm) 1 slice is missing: spacing 5 mm, elsewhere 2.5 mm; "
        "copy or download the series again"
    )


def test_several_gaps_are_counted(tmp_path):
    values = np.zeros((4, 4, 20), np.int16)
    files = write_series(tmp_path, values, series_geometry(values.shape))
    for k in (5, 11, 12):
        files[k].unlink()
    assert (
        "(slice_0010.dcm and slice_0013.dcm) 2 slices are missing: spacing 7.5 mm, elsewhere 2.5 mm (and 1 "
        "more gap); copy" in problem_of(tmp_path)
    )


@pytest.mark.parametrize("missing", [1, 6])
def test_a_slice_missing_beside_the_ends_is_found(tmp_path, hu, grid, missing):
    write_series(tmp_path, hu, grid)[missing].unlink()
    assert "1 slice is missing" in problem_of(tmp_path)


def test_a_gap_in_thin_slices_is_found(tmp_path):
    values = np.zeros((4, 4, 40), np.int16)
    write_series(tmp_path, values, series_geometry(values.shape, spacing_mm=(1, 1, 0.25)))[20].unlink()
    assert "1 slice is missing: spacing 0.5 mm, elsewhere 0.25 mm" in problem_of(tmp_path)


def moved(**shifts_mm):
    """Move slices, by ``k<index>``, in LPS."""

    def edit(k, dataset):
        position = np.array(dataset.ImagePositionPatient, float) + shifts_mm.get(f"k{k}", (0, 0, 0))
        dataset.ImagePositionPatient = [f"{value:.4f}" for value in position]

    return edit


def test_uneven_spacing_names_the_slices(tmp_path, hu, grid):
    write_series(tmp_path, hu, grid, edit=moved(k5=(0, 0, 0.6), k6=(0, 0, 0.6), k7=(0, 0, 0.6)))
    assert (
        "uneven spacing: 3.1 mm between slices at z = -300 mm and z = -296.9 mm (slice_0004.dcm and "
        "slice_0005.dcm), elsewhere 2.5 mm; export it evenly spaced, or resample it" in problem_of(tmp_path)
    )


def test_spacing_that_grows_little_by_little_is_uneven(tmp_path):
    values = np.zeros((4, 4, 20), np.int16)
    grown = {f"k{k}": (0, 0, 0.005 * k * k) for k in range(20)}
    write_series(tmp_path, values, series_geometry(values.shape), edit=moved(**grown))
    assert "uneven spacing: 2.505 mm between slices at z = -310 mm and z = -307.495 mm" in problem_of(
        tmp_path
    )


def test_two_slices_at_one_position_are_named(tmp_path, hu, grid):
    files = write_series(tmp_path, hu, grid)
    shutil.copy(files[2], tmp_path / "slice_0002 (copy).dcm")
    shutil.copy(files[4], tmp_path / "slice_0004 (copy).dcm")
    assert (
        "slice_0002 (copy).dcm and slice_0002.dcm lie at the same position (z = -305 mm) (and 1 more pair); "
        "remove the copies, or, where the series holds several acquisitions, give each its own folder"
    ) in problem_of(tmp_path)


def test_gantry_tilt_is_refused_with_its_angle(tmp_path, hu):
    grid = series_geometry(SHAPE, direction=tilted_direction("x", 15))
    up = np.reshape(grid.direction, (3, 3))[:, 2] * grid.spacing_mm[2]
    straight = {f"k{k}": (0, -k * up[1], 0) for k in range(SHAPE[2])}
    write_series(tmp_path, hu, grid, edit=moved(**straight))
    message = problem_of(tmp_path)
    assert "the gantry was tilted: its slices are stacked 15 degrees off their normal" in message
    assert "dcm2niix" in message


@pytest.mark.parametrize("k", [0, 3, 7])
def test_a_slice_that_lies_sideways_is_named(tmp_path, hu, grid, k):
    write_series(tmp_path, hu, grid, edit=moved(**{f"k{k}": (4, 0, 0)}))
    assert (
        f"slice_000{k}.dcm (z = {-310 + 2.5 * k:g} mm) lies 4 mm sideways of the other slices' line"
        in problem_of(tmp_path)
    )


def changed(slice_index, **tags):
    def edit(k, dataset):
        for name, value in tags.items():
            if k == slice_index:
                setattr(dataset, name, value)

    return edit


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        (
            {"PixelSpacing": ["0.9", "0.7"]},
            "its slices differ in pixel spacing (mm): slice_0004.dcm has 0.7 x 0.9, most others 0.8 x 0.9; ",
        ),
        (
            {"ImageOrientationPatient": ["1", "0", "0", "0", "0.96", "0.28"]},
            "its slices differ in orientation: slice_0004.dcm has 1 x 0 x 0 x 0 x 0.96 x 0.28, most others",
        ),
        (
            {"Rows": 5, "PixelData": bytes(12 * 5 * 2)},
            "its slices differ in columns and rows: slice_0004.dcm has 12 x 5, most others 12 x 10; remove",
        ),
        (
            {"ImagePositionPatient": None},
            "slice_0004.dcm: it does not say where it lies (ImagePositionPatient, ImageOrientationPatient)",
        ),
        (
            {"ImageOrientationPatient": ["1", "0", "0", "1", "0", "0"]},
            "slice_0004.dcm: it does not say where it lies",
        ),
        (
            {"PixelSpacing": ["0", "0"]},
            "slice_0004.dcm: it does not say the size of its pixels (PixelSpacing)",
        ),
        ({"PixelSpacing": None}, "slice_0004.dcm: it does not say the size of its pixels (PixelSpacing)"),
        (
            {"PhotometricInterpretation": "MONOCHROME1"},
            "slice_0004.dcm: its pixels are MONOCHROME1, MONOCHROME2 is needed",
        ),
    ],
)
def test_a_slice_unlike_the_others_is_named(tmp_path, hu, grid, tags, message):
    write_series(tmp_path, hu, grid, edit=changed(4, **tags))
    assert message in problem_of(tmp_path)


@pytest.mark.parametrize("k", [0, 7])
def test_directions_of_zeros_are_no_directions(tmp_path, hu, grid, k):
    write_series(tmp_path, hu, grid, edit=changed(k, ImageOrientationPatient=["0"] * 6))
    assert f"slice_000{k}.dcm: it does not say where it lies" in problem_of(tmp_path)


def test_one_slice_is_no_volume(tmp_path, hu):
    write_series(tmp_path, hu[:, :, :1], series_geometry((12, 10, 1)))
    assert (
        "it has one slice, a volume needs at least two; give the folder that holds the whole"
        in problem_of(tmp_path)
    )


@pytest.mark.parametrize("damage", ["empty", "cut", "header only", "zeros", "text", "broken link"])
@pytest.mark.parametrize("k", [0, 4, 7])
def test_damaged_slices_are_named_wherever_they_lie(tmp_path, hu, grid, damage, k):
    file = write_series(tmp_path, hu, grid)[k]
    data = file.read_bytes()
    file.unlink()
    if damage == "broken link":
        file.symlink_to(tmp_path / "gone")
    else:
        size = len(data)
        file.write_bytes(
            {
                "empty": b"",
                "cut": data[:-40],
                "header only": data[:400],
                "zeros": bytes(size),
                "text": b"<html>not found</html>",
            }[damage]
        )
    assert f"{file.name}: can't be read (empty, cut short, damaged or a broken link); copy or" in problem_of(
        tmp_path
    )


def test_a_damaged_file_beside_another_series_does_no_harm(tmp_path, hu, grid):
    write_series(tmp_path / "good", hu, grid, number=1)
    write_series(tmp_path / "bad", hu[:, :, :4], series_geometry((12, 10, 4)), number=2)[0].write_bytes(b"")
    np.testing.assert_array_equal(read_file(tmp_path).values_ijk, hu)
    with pytest.raises(DataError, match=r"series 2 .*: bad/slice_0000.dcm: can't be read"):
        choose_series(tmp_path, "2")


def test_a_faulty_largest_series_is_not_passed_over_in_silence(tmp_path, hu, grid):
    write_study(tmp_path, hu)
    (tmp_path / "c" / "slice_0003.dcm").unlink()
    assert "series 5 (CT, 7 slices" in problem_of(tmp_path)
    assert "1 slice is missing" in problem_of(tmp_path)
    assert "The folder holds: series 1 " in problem_of(tmp_path)
    assert choose_series(tmp_path, "2")[0].number == 2


def test_fewer_pixels_than_rows_and_columns_are_refused(tmp_path, hu, grid):
    """GDCM reads such a file without a word and makes up the rest."""
    file = write_series(tmp_path, hu, grid, edit=changed(4, PixelData=bytes(200)))[4]
    with pytest.raises(DataError, match=r"its pixels are cut short \(200 of 240 bytes\); copy") as problem:
        read_file(tmp_path)
    assert str(problem.value).startswith(str(file))


def test_pixels_compressed_beyond_gdcm_are_refused_with_their_syntax(tmp_path, hu, grid):
    file = write_series(tmp_path, hu, grid, transfer_syntax=RLELossless)[4]
    dataset = dcmread(file)
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.201"
    dataset.save_as(file)
    with pytest.raises(
        DataError,
        match=r"slice_0004.dcm: ITK can't read this file \(.*compressed \(transfer syntax "
        r"1\.2\.840\.10008\.1\.2\.4\.201\): if the file is whole, decompress",
    ):
        read_file(tmp_path)


def test_many_frames_in_one_file_are_refused(tmp_path, hu, grid):
    def frames(k, dataset):
        dataset.NumberOfFrames = SHAPE[2]
        dataset.PixelData = bytes(hu.nbytes)
        del dataset.ImagePositionPatient

    flat = series_geometry((12, 10, 1))
    write_series(tmp_path, hu[:, :, :1], flat, sop_class=EnhancedCTImageStorage, edit=frames)
    assert (
        "slice_0000.dcm: it holds 8 frames, whose positions can't be checked; export one file"
        in problem_of(tmp_path)
    )


def test_folders_without_slices_say_what_they_hold(tmp_path, hu, grid):
    (tmp_path / "empty").mkdir()
    assert problem_of(tmp_path / "empty") == (
        "no DICOM slices in this folder or below it; give a scan's file, or the folder that holds its series"
    )
    write_series(
        tmp_path / "pictures",
        hu,
        grid,
        sop_class=SecondaryCaptureImageStorage,
        edit=lambda k, dataset: delattr(dataset, "ImagePositionPatient"),
    )
    assert "(8 pictures in colours or without a position); give" in problem_of(tmp_path / "pictures")
    for file in write_series(tmp_path / "lost", hu, grid):
        file.write_bytes(b"")
    assert "slice_0002.dcm and 5 more files: can't be read" in problem_of(tmp_path / "lost")


def test_a_missing_folder_is_said(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        find_series(tmp_path / "gone")


def test_a_single_dicom_file_is_no_scan(tmp_path, hu, grid):
    file = write_series(tmp_path, hu, grid)[0]
    with pytest.raises(
        DataError, match="single DICOM file; for a scan give the folder that holds its series"
    ):
        read_image(file)
    renamed = file.rename(tmp_path / "scan.nii.gz")
    with pytest.raises(DataError, match="single DICOM file"):
        read_image(renamed)


def test_a_series_of_a_file_is_refused(tmp_path, hu):
    write_image(tmp_path / "a.nii.gz", hu, (1.0, 1.0, 1.0))
    with pytest.raises(DataError, match=r"a\.nii\.gz: series 3 was asked for, but this is a file; give"):
        read_file(tmp_path / "a.nii.gz", "3")


# As cases of a dataset


@pytest.fixture
def case(tmp_path, hu, grid) -> RawCase:
    write_series(tmp_path / "scan", hu, grid)
    labels = (read_image(tmp_path / "scan").array > 500).astype(np.uint8)
    write_labels(tmp_path / "label.nii.gz", labels, read_geometry(tmp_path / "scan"))
    return RawCase(id="a", image=tmp_path / "scan", label=tmp_path / "label.nii.gz", patient="a")


def test_the_hash_is_of_the_slices_in_order_not_of_their_names(case):
    before = image_sha256(case)
    assert read_file(case.image, hashed=True).sha256 == before
    files = sorted(Path(case.image).iterdir())
    for number, file in enumerate(files):
        file.rename(file.with_name(f"{(number * 5) % 8}.IMA"))
    assert image_sha256(case) == before
    (case.image / "0.IMA").write_bytes((case.image / "0.IMA").read_bytes()[:-1] + b"\1")
    assert image_sha256(case) != before


def test_an_inspection_knows_the_series(case, hu):
    found = inspect_case("D", case)
    assert (found.problems, found.notes) == ({}, {})
    assert found.image.sha256 == image_sha256(case)
    assert_same_grid(found.image.geometry, series_geometry(SHAPE))
    assert found.intensities.mean == pytest.approx(hu.mean())
    assert found.foreground.voxels == np.count_nonzero(hu > 500)


def test_an_inspection_notes_the_choice_and_obeys_the_wish(case, hu):
    write_series(case.image / "other", hu[:, :, :6], series_geometry((12, 10, 6)), number=4)
    found = inspect_case("D", case)
    assert found.notes[str(case.image)].startswith("series 1 (CT, 8 slices")
    asked = inspect_case("D", case.model_copy(update={"series": "4"}))
    assert (asked.notes, asked.image.geometry.size) == ({}, (12, 10, 6))


def test_an_inspection_reports_the_gap(case):
    (case.image / "slice_0003.dcm").unlink()
    found = inspect_case("D", case)
    assert found.image is None
    assert found.problems[str(case.image)].startswith("series 1 (CT, 7 slices of 12 x 10")


def test_a_label_map_is_a_file(case):
    folder = case.model_copy(update={"label": case.image})
    with pytest.raises(DataError, match="a folder, but label maps are files"):
        label_volume(folder)
