"""Raw datasets: nnU-Net v2's layout as it is, or files listed where they lie under our key ``cases``."""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mixcl_auto.errors import DataError
from mixcl_auto.io.dataset_document import CaseEntry, DatasetDocument, read_document
from mixcl_auto.records.case import RawCase, RawDataset
from mixcl_auto.records.names import NAME_RULE, is_plain_name, is_printable_name, shown

_CHANNEL = "_0000"
_DATA_ENDINGS = (".raw", ".zraw", ".raw.gz", ".img", ".img.gz")
"""Of files that hold the voxels of a header beside them."""
_LARGEST_LABEL = 255
_IGNORE = "ignore"
"""What nnU-Net v2 calls its label of voxels without a reference."""


def dataset_folders(raw_data: Path) -> list[Path]:
    """The folders that hold a ``dataset.json``, sorted by name; hidden ones are skipped.

    Raises:
        DataError: if there are none; the message says where one lies instead, if it is near.
    """
    found = sorted(path.parent for path in raw_data.glob("*/dataset.json"))
    folders = [folder for folder in found if not folder.name.startswith(".")]
    if not folders:
        raise DataError(
            f"{raw_data}: no dataset (a folder with a dataset.json); "
            f"{misplaced_dataset(raw_data) or 'see raw_data_template'}"
        )
    return folders


def other_folders(raw_data: Path) -> list[Path]:
    """Folders (and broken links) without a ``dataset.json``, sorted by name; hidden ones are skipped."""
    return [
        path
        for path in sorted(raw_data.iterdir())
        if (path.is_dir() or path.is_symlink())
        and not path.is_file()
        and not path.name.startswith(".")
        and not (path / "dataset.json").exists()
    ]


def misplaced_dataset(folder: Path) -> str | None:
    """What to do about a ``dataset.json`` in this folder or two levels below it; None where there is none."""
    for pattern, advice in (
        ("dataset.json", "lies here itself: move the dataset into a folder of its own"),
        ("*/dataset.json", "lies one folder deeper: move {name} up"),
        ("*/*/dataset.json", "lies two folders deeper: move {name} up, or give its parent as raw_data"),
    ):
        if found := sorted(folder.glob(pattern)):
            return "a dataset.json " + advice.format(name=found[0].parent.relative_to(folder))
    return None


def read_raw_dataset(folder: Path) -> RawDataset:
    """Read ``dataset.json`` and find the cases' files; images are not opened, and may be missing.

    The dataset is called as its folder is. A case is its own patient unless ``cases`` says otherwise.

    Raises:
        DataError: if ``dataset.json`` is missing or malformed, if labels are not 1 to n, if there are several
            channels or no case, or if names can't be used; every mistake of a kind is named at once.
    """
    path = folder / "dataset.json"
    document = read_document(path)
    if not is_plain_name(folder.name):
        raise DataError(f"{folder}: {NAME_RULE.format(what='dataset folder')}")
    labels = parse_labels(document.labels, path)
    cases = (
        _listed_cases(document.cases, folder)
        if document.cases is not None
        else _found_cases(document, folder)
    )
    if not cases:
        raise DataError(f"{folder}: no cases; {_advice(document, folder)}")
    _check_names(cases, path)
    return RawDataset(
        name=folder.name,
        role=document.role or "both",
        role_given=document.role is not None,
        channel_name=_channel_name(document, path),
        labels=labels,
        cases=cases,
        unused_files=_unused(folder, cases) if document.cases is None else (),
    )


def find_dataset(raw_data: Path, name: str) -> RawDataset:
    """Read the dataset of that name.

    Raises:
        DataError: if there is none, naming those there are, or if it is malformed.
    """
    folders = {folder.name: folder for folder in dataset_folders(raw_data)}
    if name not in folders:
        raise DataError(f"{raw_data}: no dataset {name!r}; there are: {', '.join(folders)}")
    return read_raw_dataset(folders[name])


def parse_labels(labels: Mapping[str, Any], path: Path) -> dict[str, int]:
    """Organ name to value without the background, from ``{name: 1}`` or the Decathlon's ``{"1": name}``.

    Args:
        labels: as ``dataset.json`` has them.
        path: of that file, for errors.

    Raises:
        DataError: if they are not 1 to n without gaps, if a name stands twice, or if one is nnU-Net's
            ``ignore``.
    """
    pairs = [_label_pair(key, value) for key, value in labels.items()]
    odd = [key for key, pair in zip(labels, pairs, strict=True) if pair is None]
    if odd:
        raise DataError(
            f"{path}: labels {', '.join(map(shown, odd[:20]))}: write a name and one whole number (regions "
            "and ignored labels are not supported)"
        )
    named = [pair for pair in pairs if pair is not None and pair[1] != 0]
    _refuse_ignore_label(named, path)
    if nameless := [value for name, value in named if not is_printable_name(name)]:
        raise DataError(
            f"{path}: labels {nameless} have no name that can be printed (at most 200 bytes, no control "
            "characters); give each a name"
        )
    values = sorted(value for _, value in named)
    if not values or values != list(range(1, len(values) + 1)) or len(values) > _LARGEST_LABEL:
        raise DataError(
            f"{path}: labels must be numbered 1 to n without gaps (0 is the background, n at most "
            f"{_LARGEST_LABEL}), got {values}; renumber them"
        )
    if repeated := _repeated(name for name, _ in named):
        raise DataError(f"{path}: labels {', '.join(repeated)} appear twice; give each organ its own name")
    return dict(sorted(named, key=lambda pair: pair[1]))


def _refuse_ignore_label(labels: Iterable[tuple[str, int]], path: Path) -> None:
    """Voxels of nnU-Net's label called ``ignore`` have no reference; as an organ they would be learnt."""
    for name, value in labels:
        if name.strip().casefold() == _IGNORE:
            raise DataError(
                f"{path}: label {shown(name)} ({value}): an ignore label is not supported, and would be "
                "learnt and scored as an organ; leave out the cases that have it and remove the entry, or "
                "give its voxels the background's value (0), but only if they are background"
            )


def _label_pair(key: str, value: Any) -> tuple[str, int] | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return key, value
    if isinstance(value, str) and key.isdecimal():
        return value, int(key)
    if isinstance(value, str) and value.isdecimal():
        return key, int(value)
    return None


def _channel_name(document: DatasetDocument, path: Path) -> str:
    channels = document.channel_names or document.modality or {"0": "CT"}
    if len(channels) != 1:
        raise DataError(
            f"{path}: one channel is supported, got {len(channels)}: "
            f"{', '.join(map(shown, list(channels.values())[:20]))}; keep "
            "one of them, and its files"
        )
    return next(iter(channels.values())).strip()


def _listed_cases(entries: Iterable[CaseEntry], folder: Path) -> tuple[RawCase, ...]:
    return tuple(
        RawCase(
            id=entry.id,
            image=folder / entry.image,
            label=None if entry.label is None else folder / entry.label,
            patient=entry.patient or entry.id,
            series=entry.series,
            label_flips=entry.label_flips,
        )
        for entry in entries
    )


def _advice(document: DatasetDocument, folder: Path) -> str:
    if document.cases is not None:
        return "`cases` in dataset.json is empty: list the files there, or remove the key"
    advice = f"put <case>{_CHANNEL}{document.file_ending} into imagesTr"
    others = [path.name for path in _listed(folder / "imagesTr")]
    return f"{advice}, or correct file_ending: there are {_some(others)}" if others else advice


def _found_cases(document: DatasetDocument, folder: Path) -> tuple[RawCase, ...]:
    """Cases of ``imagesTr`` and ``labelsTr``; one with a single file is kept, for validation to name."""
    ending = document.file_ending
    images, labels = _stems(folder / "imagesTr", ending), _stems(folder / "labelsTr", ending)
    ids = {stem.removesuffix(_CHANNEL) for stem in images if stem.endswith(_CHANNEL)}
    if images and not ids:
        raise DataError(
            f"{folder / 'imagesTr'}: {_some(images)}: images are named <case>{_CHANNEL}{ending}; rename "
            "them, list them where they lie under `cases` in dataset.json, or see `mixcl_auto convert`"
        )
    return tuple(
        RawCase(
            id=case,
            image=folder / "imagesTr" / f"{case}{_CHANNEL}{ending}",
            label=folder / "labelsTr" / f"{case}{ending}",
            patient=case,
        )
        for case in sorted(ids | set(labels))
    )


def _unused(folder: Path, cases: Iterable[RawCase]) -> tuple[Path, ...]:
    """What lies in ``imagesTr`` and ``labelsTr`` beside the cases' files; hidden files are the system's."""
    used = {path for case in cases for path in (case.image, case.label)}
    beside = {path.name.partition(".")[0] for path in used if path is not None}
    found = [path for name in ("imagesTr", "labelsTr") for path in _listed(folder / name) if path not in used]
    return tuple(
        path
        for path in found
        if not (path.name.endswith(_DATA_ENDINGS) and path.name.partition(".")[0] in beside)
    )


def _stems(folder: Path, ending: str) -> list[str]:
    """File names without their ending."""
    return [path.name.removesuffix(ending) for path in _listed(folder) if path.name.endswith(ending)]


def _listed(folder: Path) -> list[Path]:
    """What lies in a folder, sorted; names that start with a dot (macOS's ``._*``) are skipped."""
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except FileNotFoundError:
        raise DataError(
            f"{folder}: no such folder; put the files there, list them where they lie under `cases` in "
            "dataset.json, or see `mixcl_auto convert`"
        ) from None
    except OSError as problem:
        raise DataError(
            f"{folder}: can't be listed ({problem.strerror}); it must be a folder that you may read"
        ) from None


def _check_names(cases: Iterable[RawCase], path: Path) -> None:
    ids = [case.id for case in cases]
    if odd := [repr(name) for name in ids if not is_plain_name(name)]:
        raise DataError(f"{path}: case ids {_some(odd)}: {NAME_RULE.format(what='case id')}")
    if repeated := _repeated(ids):
        raise DataError(f"{path}: case ids {_some(repeated)} appear twice; ids must differ")


def _repeated(names: Iterable[str]) -> list[str]:
    return [name for name, count in Counter(names).items() if count > 1]


def _some(names: list[str]) -> str:
    rest = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + rest
