import sys
import warnings

import highdicom
import numpy as np
import pydicom
import pytest
from dicom_series import series_geometry, tilted_direction, write_series

from mixcl_auto.errors import DataError, RunError
from mixcl_auto.io.dicom_seg import refuse_without_highdicom, write_segmentation
from mixcl_auto.io.orientation import to_ras

ORGANS = {"right kidney": 2, "spleen": 1, "Speiseröhre": 3, "kidney tumour": 4}
SIZE = (9, 8, 7)
FEET_FIRST = (1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, -1.0)
CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, -1.0, 0.0)


@pytest.fixture
def labels_ijk():
    """Labels 1, 2 and 4 on some slices; 3 is nowhere."""
    labels = np.zeros(SIZE, np.uint8)
    labels[2:5, 1:4, 1:3] = 1
    labels[5:7, 2:6, 3:5] = 2
    labels[8, 7, 6] = 4
    return labels


def write(folder, labels_ijk, geometry=None, organs=ORGANS, **series):
    """A series and the segmentation of it."""
    grid = geometry or series_geometry(SIZE)
    slices = write_series(folder / "series", np.zeros(SIZE), grid, **series)
    path = folder / "out" / "case.dcm"
    write_segmentation(path, to_ras(labels_ijk, grid), grid, slices, organs, parameters={"plan": "abc"})
    return path, slices


def frames_of(path):
    """(segment, position in mm, referenced UIDs, mask (rows, columns)) of each frame."""
    segmentation = pydicom.dcmread(path)
    masks = segmentation.pixel_array.reshape(-1, segmentation.Rows, segmentation.Columns)
    for item, mask in zip(segmentation.PerFrameFunctionalGroupsSequence, masks, strict=True):
        sources = item.DerivationImageSequence[0].SourceImageSequence
        yield (
            item.SegmentIdentificationSequence[0].ReferencedSegmentNumber,
            tuple(item.PlanePositionSequence[0].ImagePositionPatient),
            [source.ReferencedSOPInstanceUID for source in sources],
            mask,
        )


@pytest.mark.parametrize(
    "direction",
    [
        series_geometry(SIZE).direction,
        FEET_FIRST,
        CORONAL,
        tilted_direction("x", 17),
        tilted_direction("z", -33),
    ],
    ids=["axial", "feet first", "coronal", "oblique about x", "oblique about z"],
)
def test_every_voxel_lies_on_the_slice_it_was_found_on(tmp_path, labels_ijk, direction):
    path, slices = write(tmp_path, labels_ijk, series_geometry(SIZE, direction=direction))
    headers = [pydicom.dcmread(file) for file in slices]
    found = np.zeros(SIZE, np.uint8)
    for segment, position, referenced, mask in frames_of(path):
        (k,) = [k for k, header in enumerate(headers) if header.SOPInstanceUID == referenced[0]]
        assert len(referenced) == 1
        assert position == tuple(headers[k].ImagePositionPatient)
        assert mask.any()
        found[:, :, k][mask.T == 1] = segment
    np.testing.assert_array_equal(found, labels_ijk)
    shared = pydicom.dcmread(path).SharedFunctionalGroupsSequence[0]
    orientation = shared.PlaneOrientationSequence[0].ImageOrientationPatient
    assert orientation == headers[0].ImageOrientationPatient
    assert shared.PixelMeasuresSequence[0].PixelSpacing == headers[0].PixelSpacing


def test_a_reader_of_segmentations_gets_the_label_map_back(tmp_path, labels_ijk):
    path, _ = write(tmp_path, labels_ijk)
    volume = highdicom.seg.segread(path).get_volume(combine_segments=True)
    affine = volume.affine
    geometry = series_geometry(SIZE)
    found = np.zeros(SIZE, np.uint8)
    for index in np.argwhere(volume.array):
        position = (affine @ [*index, 1])[:3]
        steps = np.reshape(geometry.direction, (3, 3)) * geometry.spacing_mm
        voxel = np.linalg.solve(steps, position - np.array(geometry.origin_mm))
        np.testing.assert_allclose(voxel, np.rint(voxel), atol=1e-5)
        found[tuple(np.rint(voxel).astype(int))] = volume.array[tuple(index)]
    np.testing.assert_array_equal(found, labels_ijk)


def test_an_organ_that_was_not_found_is_a_segment_without_frames(tmp_path, labels_ijk):
    path, _ = write(tmp_path, labels_ijk)
    segmentation = pydicom.dcmread(path)
    labels = {item.SegmentNumber: item.SegmentLabel for item in segmentation.SegmentSequence}
    assert labels == {value: name for name, value in ORGANS.items()}
    assert sorted(segment for segment, *_ in frames_of(path)) == [1, 1, 2, 2, 4]


def test_a_label_map_without_a_voxel_has_one_empty_frame_per_organ_on_the_middle_slice(
    tmp_path, labels_ijk, caplog
):
    path, slices = write(tmp_path, np.zeros_like(labels_ijk))
    middle = pydicom.dcmread(slices[3])
    frames = list(frames_of(path))
    assert [segment for segment, *_ in frames] == [1, 2, 3, 4]
    for _, position, referenced, mask in frames:
        assert position == tuple(middle.ImagePositionPatient)
        assert referenced == [middle.SOPInstanceUID]
        assert not mask.any()
    assert caplog.text == ""


def test_one_organ_is_one_segment(tmp_path, labels_ijk):
    path, _ = write(tmp_path, (labels_ijk == 1).astype(np.uint8), organs={"spleen": 1})
    segmentation = pydicom.dcmread(path)
    assert [item.SegmentLabel for item in segmentation.SegmentSequence] == ["spleen"]
    assert segmentation.NumberOfFrames == 2


def test_segments_are_coded_as_the_organs_they_show(tmp_path, labels_ijk):
    path, _ = write(tmp_path, labels_ijk)
    spleen, kidney, unknown, tumour = pydicom.dcmread(path).SegmentSequence
    codes = [item.SegmentedPropertyTypeCodeSequence[0] for item in (spleen, kidney, unknown, tumour)]
    assert [(code.CodingSchemeDesignator, code.CodeValue) for code in codes] == [
        ("SCT", "78961009"),
        ("SCT", "64033007"),
        ("SCT", "85756007"),
        ("SCT", "108369006"),
    ]
    assert codes[1].SegmentedPropertyTypeModifierCodeSequence[0].CodeMeaning == "Right"
    assert tumour.AnatomicRegionSequence[0].CodeMeaning == "Kidney"
    categories = [item.SegmentedPropertyCategoryCodeSequence[0].CodeMeaning for item in (spleen, tumour)]
    assert categories == ["Anatomical Structure", "Morphologically Abnormal Structure"]
    colours = {tuple(item.RecommendedDisplayCIELabValue) for item in (spleen, kidney, unknown, tumour)}
    assert len(colours) == 4


def test_the_algorithm_is_named_with_its_version_and_parameters(tmp_path, labels_ijk):
    from mixcl_auto import __version__

    path, _ = write(tmp_path, labels_ijk)
    segment = pydicom.dcmread(path).SegmentSequence[0]
    assert segment.SegmentAlgorithmType == "AUTOMATIC"
    algorithm = segment.SegmentationAlgorithmIdentificationSequence[0]
    assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("mixcl_auto", __version__)
    assert algorithm.AlgorithmParameters == "plan=abc"


def test_patient_and_study_are_those_of_the_series_in_a_series_of_its_own(tmp_path, labels_ijk):
    def name(_, dataset):
        dataset.SpecificCharacterSet = "ISO_IR 100"
        dataset.PatientName = "Müller^Jörg"

    path, slices = write(tmp_path, labels_ijk, number=4, edit=name)
    segmentation, source = pydicom.dcmread(path), pydicom.dcmread(slices[0])
    for keyword in ("StudyInstanceUID", "FrameOfReferenceUID", "PatientID", "PatientName"):
        assert segmentation[keyword].value == source[keyword].value
    assert segmentation.SeriesInstanceUID != source.SeriesInstanceUID
    assert (segmentation.Modality, segmentation.SeriesNumber) == ("SEG", 1004)
    assert segmentation["ContentCreatorName"].value == ""
    (series,) = segmentation.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == source.SeriesInstanceUID
    assert len(series.ReferencedInstanceSequence) == SIZE[2]


def without(*keywords):
    def edit(_, dataset):
        for keyword in keywords:
            del dataset[keyword]

    return edit


@pytest.mark.parametrize("found", [True, False], ids=["with organs", "without a voxel"])
def test_what_anonymised_series_lack_is_left_empty(tmp_path, labels_ijk, found):
    lacking = ("PatientID", "PatientName", "StudyDate", "AccessionNumber", "StudyID", "SliceThickness")
    path, _ = write(tmp_path, labels_ijk * found, edit=without(*lacking), number=None)
    segmentation = pydicom.dcmread(path)
    assert [str(segmentation[keyword].value or "") for keyword in lacking[:-1]] == [""] * 5
    assert segmentation.SeriesNumber == 1000


def test_the_distance_of_slices_is_the_grids_not_what_a_tag_says(tmp_path, labels_ijk):
    def gap(_, dataset):
        dataset.SpacingBetweenSlices = "0.5"

    path, _ = write(tmp_path, labels_ijk, edit=gap)
    shared = pydicom.dcmread(path).SharedFunctionalGroupsSequence[0]
    assert shared.PixelMeasuresSequence[0].SpacingBetweenSlices == 2.5


def test_invalid_values_are_left_empty_and_said_without_showing_them(tmp_path, labels_ijk, caplog):
    def wrong(_, dataset):
        dataset.PatientBirthDate, dataset.PatientSex = "1950-01-31", "female"

    with pydicom.config.disable_value_validation():
        grid = series_geometry(SIZE)
        slices = write_series(tmp_path / "series", np.zeros(SIZE), grid, edit=wrong)
    caplog.clear()
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        write_segmentation(tmp_path / "a.dcm", to_ras(labels_ijk, grid), grid, slices, ORGANS)
    segmentation = pydicom.dcmread(tmp_path / "a.dcm")
    assert segmentation.PatientBirthDate == segmentation.PatientSex == ""
    assert shown == []
    assert [record.getMessage().partition(": ")[2] for record in caplog.records] == [
        f"{keyword} is no valid value; it is left empty in the DICOM SEG"
        for keyword in ("PatientBirthDate", "PatientSex")
    ]


def test_slices_without_dicoms_preamble_are_read(tmp_path, labels_ijk):
    grid = series_geometry(SIZE)
    slices = write_series(tmp_path / "series", np.zeros(SIZE), grid)
    for file in slices:
        header = pydicom.dcmread(file)
        pydicom.dcmwrite(file, pydicom.Dataset(header), implicit_vr=True, little_endian=True)
        assert file.read_bytes()[128:132] != b"DICM"
    write_segmentation(tmp_path / "a.dcm", to_ras(labels_ijk, grid), grid, slices, ORGANS)
    assert len(list(frames_of(tmp_path / "a.dcm"))) == 5


def test_no_warning_shows_a_patients_name(tmp_path, labels_ijk):
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        write(tmp_path, labels_ijk, patient_id="Single")
    assert shown == []


def test_a_series_without_what_a_segmentation_must_repeat_is_refused(tmp_path, labels_ijk):
    edit = without("FrameOfReferenceUID")
    with pytest.raises(DataError, match=r"slice_0000.dcm: the header lacks FrameOfReferenceUID, .* NIfTI"):
        write(tmp_path, labels_ijk, edit=edit)
    assert not (tmp_path / "out" / "case.dcm").exists()


def test_slices_that_do_not_lie_on_the_grid_are_refused(tmp_path, labels_ijk):
    grid = series_geometry(SIZE)
    slices = write_series(tmp_path / "series", np.zeros(SIZE), grid)
    labels = to_ras(labels_ijk, grid)
    with pytest.raises(DataError, match=r"slice_0001\.dcm: not slice 1 of the grid"):
        write_segmentation(tmp_path / "a.dcm", labels, grid, [slices[1], slices[0], *slices[2:]], ORGANS)
    with pytest.raises(DataError, match="6 files for 7 slices"):
        write_segmentation(tmp_path / "a.dcm", labels, grid, slices[1:], ORGANS)
    with pytest.raises(DataError, match=r"a.dcm: the label map has shape \(2, 2, 2\)"):
        write_segmentation(tmp_path / "a.dcm", labels[:2, :2, :2], grid, slices, ORGANS)
    slices[2].write_bytes(b"")
    with pytest.raises(DataError, match=r"slice_0002\.dcm: the slice can't be read"):
        write_segmentation(tmp_path / "a.dcm", labels, grid, slices, ORGANS)
    assert list(tmp_path.glob("*.dcm")) == list(tmp_path.glob(".*.dcm")) == []


def test_without_highdicom_its_installation_is_advised(monkeypatch):
    refuse_without_highdicom()
    monkeypatch.setitem(sys.modules, "highdicom.seg", None)
    with pytest.raises(RunError, match=r"pip install 'mixcl_auto\[dicom\]'"):
        refuse_without_highdicom()
