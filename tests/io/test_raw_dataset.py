import json

import pytest

from mixcl_auto.errors import DataError
from mixcl_auto.io.raw_dataset import dataset_folders, find_dataset, read_raw_dataset


def make(folder, document=None, images=("a_0000.nii.gz",), labels=("a.nii.gz",)):
    defaults = {
        "channel_names": {"0": "CT"},
        "labels": {"background": 0, "liver": 1},
        "file_ending": ".nii.gz",
    }
    for subfolder, names in (("imagesTr", images), ("labelsTr", labels)):
        (folder / subfolder).mkdir(parents=True)
        for name in names:
            (folder / subfolder / name).touch()
    (folder / "dataset.json").write_text(json.dumps(defaults | (document or {})))
    return folder


def test_nnunet_layout_is_read_as_it_is(tmp_path):
    folder = make(
        tmp_path / "Liver",
        {"role": "pretrain", "licence": "CC", "numTraining": 9},
        images=("b_1_0000.nii.gz", "a_0000.nii.gz", "._a_0000.nii.gz", "notes.txt"),
        labels=("a.nii.gz", "b_1.nii.gz", "._a.nii.gz"),
    )
    dataset = read_raw_dataset(folder)
    assert (dataset.name, dataset.role, dataset.role_given, dataset.channel_name) == (
        "Liver",
        "pretrain",
        True,
        "CT",
    )
    assert dataset.labels == {"liver": 1}
    assert [(case.id, case.patient) for case in dataset.cases] == [("a", "a"), ("b_1", "b_1")]
    assert dataset.cases[1].image == folder / "imagesTr" / "b_1_0000.nii.gz"
    assert dataset.cases[1].label == folder / "labelsTr" / "b_1.nii.gz"


def test_listed_cases_point_at_files_where_they_lie(tmp_path):
    cases = [
        {"id": "scan 1", "image": "../x/i.nrrd", "label": str(tmp_path / "l.nrrd"), "patient": "Zoë"},
        {"id": "scan 2", "image": "y.nrrd"},
        {"id": "scan 3", "image": "dicom", "series": 3},
        {"id": "scan 4", "image": "dicom", "series": "1.2.840.3"},
    ]
    dataset = read_raw_dataset(make(tmp_path / "D", {"cases": cases}))
    assert dataset.cases[0].image == tmp_path / "D" / "../x/i.nrrd"
    assert dataset.cases[0].label == tmp_path / "l.nrrd"
    assert [case.patient for case in dataset.cases] == ["Zoë", "scan 2", "scan 3", "scan 4"]
    assert [case.series for case in dataset.cases] == [None, None, "3", "1.2.840.3"]
    assert dataset.cases[1].label is None


@pytest.mark.parametrize(
    "labels",
    [
        {"background": 0, "liver": 1, "tumour": 2},
        {"0": "background", "2": "tumour", "1": "liver"},
        {"background": "0", "liver": "1", "tumour": "2"},
    ],
)
def test_labels_may_be_written_either_way_round(tmp_path, labels):
    assert list(read_raw_dataset(make(tmp_path / "D", {"labels": labels})).labels.items()) == [
        ("liver", 1),
        ("tumour", 2),
    ]


def test_spaces_about_the_channels_name_do_not_count(tmp_path):
    assert read_raw_dataset(make(tmp_path / "D", {"channel_names": {"0": " CT"}})).channel_name == "CT"


def test_the_decathlons_modality_names_the_channel(tmp_path):
    folder = make(tmp_path / "D", {"channel_names": None, "modality": {"0": "MRI"}})
    assert read_raw_dataset(folder).channel_name == "MRI"


def test_a_dataset_without_role_is_both_and_says_that_it_was_not_given(tmp_path):
    dataset = read_raw_dataset(make(tmp_path / "D"))
    assert (dataset.role, dataset.role_given) == ("both", False)


def test_a_case_with_one_of_its_files_is_kept_for_validation(tmp_path):
    dataset = read_raw_dataset(make(tmp_path / "D", images=("a_0000.nii.gz",), labels=("b.nii.gz",)))
    assert [case.id for case in dataset.cases] == ["a", "b"]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"labels": {"background": 0, "liver": 2}}, r"1 to n without gaps.*got \[2\]"),
        ({"labels": {"background": 0}}, r"1 to n without gaps.*got \[\]"),
        ({"labels": {"a": 1, "b": 1}}, r"got \[1, 1\]"),
        ({"labels": {"a": [1, 2]}}, "labels a: write a name and one whole number"),
        ({"labels": {"a": 1.5}}, "one whole number"),
        ({"labels": {"a": True}}, "one whole number"),
        ({"labels": {"1": "a", "2": "a"}}, "labels a appear twice"),
        ({"labels": {f"organ{n}": n for n in range(1, 258)}}, "n at most 255"),
        ({"labels": {"liver": 1, "ignore": 2}}, r"label ignore \(2\): an ignore label is not supported"),
        ({"labels": {"liver": 1, " Ignore": 255}}, "leave out the cases that have it and remove the entry"),
        ({"labels": {"0": "air", "1": "liver", "2": "IGNORE"}}, "only if they are background"),
        ({"labels": ["liver"]}, "labels: Input should be a valid dictionary"),
        ({"channel_names": {"0": "CT", "1": "PET"}}, "one channel is supported, got 2: CT, PET"),
        ({"role": "train"}, "role: Input should be 'pretrain', 'target' or 'both'"),
        ({"file_ending": "/../x"}, "file_ending"),
        ({"cases": [{"id": "a"}]}, r"cases\.0\.image: Field required"),
        ({"cases": [{"id": "a", "image": "i", "mask": "m"}]}, r"cases\.0\.mask: there is no such field"),
        ({"cases": [{"id": "../a", "image": "i"}]}, r"case ids '\.\./a': a case id must be a plain name"),
        ({"cases": [{"id": "a\nb", "image": "i"}]}, "no control characters"),
        ({"cases": [{"id": "", "image": "i"}]}, "plain name"),
        ({"cases": [{"id": "a", "image": "i"}] * 2}, "case ids a appear twice"),
        ({"cases": [{"id": "ö" * 101, "image": "i"}]}, "at most 200 bytes"),
        ({"cases": []}, "no cases; `cases` in dataset.json is empty"),
        ({"labels": {"": 1}}, r"labels \[1\] have no name that can be printed"),
        ({"labels": {"liver\n": 1}}, "no name that can be printed"),
        ({"file_ending": ".mha"}, r"no cases; .* or correct file_ending: there are a_0000\.nii\.gz"),
    ],
)
def test_mistakes_in_dataset_json_are_named(tmp_path, document, message):
    folder = make(tmp_path / "D", document)
    with pytest.raises(DataError, match=message) as problem:
        read_raw_dataset(folder)
    assert str(folder) in str(problem.value)


def test_misnamed_images_are_named(tmp_path):
    with pytest.raises(DataError, match=r"liver_1: images are named <case>_0000\.nii\.gz"):
        read_raw_dataset(make(tmp_path / "D", images=("liver_1.nii.gz",)))


def test_files_that_belong_to_no_case_are_kept_for_validation_to_name(tmp_path):
    folder = make(
        tmp_path / "D",
        images=("a_0000.nii.gz", "a_0001.nii.gz", "._a_0000.nii.gz", "b.nii.gz", "notes.txt"),
        labels=("a.nii.gz", "a.nrrd"),
    )
    (folder / "imagesTr" / "old").mkdir()
    dataset = read_raw_dataset(folder)
    assert [case.id for case in dataset.cases] == ["a"]
    names = [str(path.relative_to(folder)) for path in dataset.unused_files]
    assert names == [
        "imagesTr/a_0001.nii.gz",
        "imagesTr/b.nii.gz",
        "imagesTr/notes.txt",
        "imagesTr/old",
        "labelsTr/a.nrrd",
    ]


def test_voxels_beside_their_header_are_no_unused_file(tmp_path):
    images, labels = ("a_0000.mhd", "a_0000.zraw", "b_0000.raw"), ("a.mhd", "a.raw")
    dataset = read_raw_dataset(make(tmp_path / "D", {"file_ending": ".mhd"}, images, labels))
    assert [path.name for path in dataset.unused_files] == ["b_0000.raw"]


def test_a_missing_folder_of_scans_is_named(tmp_path):
    folder = make(tmp_path / "D")
    (folder / "labelsTr").rename(folder / "labels")
    with pytest.raises(DataError, match=r"D/labelsTr: no such folder; .*mixcl_auto convert"):
        read_raw_dataset(folder)
    (folder / "labelsTr").touch()
    with pytest.raises(DataError, match=r"labelsTr: can't be listed .*must be a folder"):
        read_raw_dataset(folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b" ", "the file is empty"),
        (b"[1]", "the outermost value must be an object"),
        (b'{"labels": {"l\xe4ber": 1}}', "not text in UTF-8: save it so"),
        (b'{"labels": {"liver": 1}, "labels": {}}', "keys given twice: labels"),
        (b'{"labels": {"liver": 1, "liver": 2}}', "keys given twice: liver"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"labels": {"liver": ' + b"9" * 5000 + b"}}", "too many digits"),
        (b" " * 50_000_001, "more than 50 MB are too much"),
    ],
)
def test_what_is_no_description_is_refused(tmp_path, content, message):
    folder = make(tmp_path / "D")
    (folder / "dataset.json").write_bytes(content)
    with pytest.raises(DataError, match=rf"dataset\.json: .*{message}"):
        read_raw_dataset(folder)


def test_a_byte_order_mark_is_no_mistake(tmp_path):
    folder = make(tmp_path / "D")
    path = folder / "dataset.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert read_raw_dataset(folder).labels == {"liver": 1}


def test_broken_json_is_refused_with_its_line(tmp_path):
    folder = make(tmp_path / "D")
    (folder / "dataset.json").write_text('{\n"labels": }')
    with pytest.raises(DataError, match=r"not JSON .*line 2"):
        read_raw_dataset(folder)


def test_datasets_are_found_by_their_description(tmp_path):
    make(tmp_path / "B")
    make(tmp_path / "A")
    (tmp_path / "notes").mkdir()
    assert [folder.name for folder in dataset_folders(tmp_path)] == ["A", "B"]
    assert find_dataset(tmp_path, "B").name == "B"
    with pytest.raises(DataError, match="no dataset 'C'; there are: A, B"):
        find_dataset(tmp_path, "C")


def test_an_empty_raw_data_folder_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"no dataset .*; see raw_data_template"):
        dataset_folders(tmp_path)


@pytest.mark.parametrize(
    ("place", "message"),
    [
        (".", "lies here itself: move the dataset into a folder of its own"),
        ("download/D", "lies two folders deeper: move download/D up"),
    ],
)
def test_a_dataset_at_another_depth_is_found_and_said(tmp_path, place, message):
    make(tmp_path / place)
    with pytest.raises(DataError, match=f"no dataset .*a dataset.json {message}"):
        dataset_folders(tmp_path)


def test_hidden_folders_are_no_datasets(tmp_path):
    make(tmp_path / "A")
    make(tmp_path / ".Trash")
    assert [folder.name for folder in dataset_folders(tmp_path)] == ["A"]
