"""Raw datasets: nnU-Net v2's layout as it is, or files listed where they lie under our key ``cases``."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mixcl_auto.errors import DataError
from mixcl_auto.io.files import read_text
from mixcl_auto.records.case import RawCase, RawDataset, Role
from mixcl_auto.records.record import Record, describe_mistakes

_CHANNEL = re.compile(r"(?P<id>.+)_(?P<channel>\d{4})")
_LARGEST_LABEL = 255


class _CaseEntry(Record):
    """An item of ``cases``; paths are absolute or relative to the dataset's folder."""

    id: str
    image: Path
    label: Path | None = None
    patient: str | None = None
    series: str | None = None
    label_flips: str | None = Field(default=None, pattern="^i?j?k?$")


class _Document(BaseModel):
    """The keys of ``dataset.json`` that matter here; all others are the user's own."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    role: Role | None = None
    labels: dict[str, Any]
    channel_names: dict[str, str] | None = None
    modality: dict[str, str] | None = None
    """The name of ``channel_names`` in the Medical Segmentation Decathlon."""
    file_ending: str = Field(default=".nii.gz", pattern=r"^\.[A-Za-z0-9.]+$")
    cases: tuple[_CaseEntry, ...] | None = None


def dataset_folders(raw_data: Path) -> list[Path]:
    """The folders that hold a ``dataset.json``, sorted by name.

    Raises:
        DataError: if there are none.
    """
    folders = sorted(path.parent for path in raw_data.glob("*/dataset.json"))
    if not folders:
        raise DataError(f"{raw_data}: no dataset (a folder with a dataset.json); see raw_data_template")
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


def read_raw_dataset(folder: Path) -> RawDataset:
    """Read ``dataset.json`` and find the cases' files; images are not opened, and may be missing.

    The dataset is called as its folder is. A case is its own patient unless ``cases`` says otherwise.

    Raises:
        DataError: if ``dataset.json`` is missing or malformed, if labels are not 1 to n, if there are several
            channels, or if names can't be used; every mistake of a kind is named at once.
    """
    path = folder / "dataset.json"
    document = _read_document(path)
    if not is_plain_name(folder.name):
        raise DataError(f"{folder}: {NAME_RULE.format(what='dataset folder')}")
    labels = parse_labels(document.labels, path)
    cases = (
        _listed_cases(document.cases, folder)
        if document.cases is not None
        else _found_cases(document, folder)
    )
    if not cases:
        raise DataError(f"{folder}: no cases; put <case>_0000{document.file_ending} into imagesTr")
    _check_names(cases, path)
    return RawDataset(
        name=folder.name,
        role=document.role or "both",
        role_given=document.role is not None,
        channel_name=_channel_name(document, path),
        labels=labels,
        cases=cases,
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


def _read_document(path: Path) -> _Document:
    text = read_text(path, what="dataset description", remedy="see raw_data_template for examples")
    try:
        return _Document.model_validate(json.loads(text))
    except json.JSONDecodeError as problem:
        raise DataError(f"{path}: not JSON ({problem}); correct that line") from None
    except ValidationError as problem:
        roles = ", ".join(get_args(Role))
        raise DataError(f"{describe_mistakes(problem, str(path))}\n  (role is one of {roles})") from None


def parse_labels(labels: Mapping[str, Any], path: Path) -> dict[str, int]:
    """Organ name to value without the background, from ``{name: 1}`` or the Decathlon's ``{"1": name}``.

    Args:
        labels: as ``dataset.json`` has them.
        path: of that file, for errors.

    Raises:
        DataError: if they are not 1 to n without gaps, or if a name stands twice.
    """
    pairs = [_label_pair(key, value) for key, value in labels.items()]
    odd = [key for key, pair in zip(labels, pairs, strict=True) if pair is None]
    if odd:
        raise DataError(
            f"{path}: labels {', '.join(odd)}: write a name and one whole number (regions and ignored labels "
            "are not supported)"
        )
    named = [pair for pair in pairs if pair is not None and pair[1] != 0]
    values = sorted(value for _, value in named)
    if not values or values != list(range(1, len(values) + 1)) or len(values) > _LARGEST_LABEL:
        raise DataError(
            f"{path}: labels must be numbered 1 to n without gaps (0 is the background, n at most "
            f"{_LARGEST_LABEL}), got {values}; renumber them"
        )
    if repeated := _repeated(name for name, _ in named):
        raise DataError(f"{path}: labels {', '.join(repeated)} appear twice; give each organ its own name")
    return dict(sorted(named, key=lambda pair: pair[1]))


def _label_pair(key: str, value: Any) -> tuple[str, int] | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return key, value
    if isinstance(value, str) and key.isdecimal():
        return value, int(key)
    if isinstance(value, str) and value.isdecimal():
        return key, int(value)
    return None


def _channel_name(document: _Document, path: Path) -> str:
    channels = document.channel_names or document.modality or {"0": "CT"}
    if len(channels) != 1:
        raise DataError(
            f"{path}: one channel is supported, got {len(channels)}: {', '.join(channels.values())}"
        )
    return next(iter(channels.values()))


def _listed_cases(entries: Iterable[_CaseEntry], folder: Path) -> tuple[RawCase, ...]:
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


def _found_cases(document: _Document, folder: Path) -> tuple[RawCase, ...]:
    """Cases of ``imagesTr`` and ``labelsTr``; one with a single file is kept, for validation to name."""
    ending = document.file_ending
    images = [_CHANNEL.fullmatch(stem) for stem in _stems(folder / "imagesTr", ending)]
    stray = [stem for stem in _stems(folder / "imagesTr", ending) if not _CHANNEL.fullmatch(stem)]
    if stray:
        raise DataError(
            f"{folder / 'imagesTr'}: {_some(stray)}: images are named <case>_0000{ending}; rename them, "
            "or list them where they lie under `cases` in dataset.json"
        )
    several = [match.string for match in images if match and match["channel"] != "0000"]
    if several:
        raise DataError(f"{folder / 'imagesTr'}: {_some(several)}: only one channel (_0000) is supported")
    ids = {match["id"] for match in images if match} | set(_stems(folder / "labelsTr", ending))
    return tuple(
        RawCase(
            id=case,
            image=folder / "imagesTr" / f"{case}_0000{ending}",
            label=folder / "labelsTr" / f"{case}{ending}",
            patient=case,
        )
        for case in sorted(ids)
    )


def _stems(folder: Path, ending: str) -> list[str]:
    """File names without their ending; names that start with a dot (macOS's ``._*``) are skipped."""
    if not folder.is_dir():
        return []
    names = sorted(path.name for path in folder.iterdir() if path.name.endswith(ending))
    return [name.removesuffix(ending) for name in names if not name.startswith(".")]


NAME_RULE = "a {what} must be a plain name: no / or \\, no control characters, no leading dot; rename it"


def is_plain_name(name: str) -> bool:
    """Whether a dataset or a case can be called so: any script, spaces too, but nothing that leaves a folder."""
    return bool(name) and not name.startswith(".") and name.isprintable() and not set(name) & set("/\\")


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
