"""Medical Segmentation Decathlon: one folder per task, whose ``dataset.json`` lists images and labels."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mixcl_auto.converters.conversion import Conversion, LeftOut, Source, require_cases
from mixcl_auto.converters.files import image_files, image_stem
from mixcl_auto.errors import DataError
from mixcl_auto.io.files import read_text
from mixcl_auto.io.raw_dataset import parse_labels
from mixcl_auto.records.case import RawCase, RawDataset
from mixcl_auto.records.record import describe_mistakes

TREE = """\
Task09_Spleen/
  dataset.json                  the Decathlon's own, with the key `training`
  imagesTr/spleen_2.nii.gz
  labelsTr/spleen_2.nii.gz"""

_TARGET = "spleen"
"""The task that the paper fine-tunes on; all others are its pool."""
_LACKING = "image or label map missing (extract the rest of the download)"
_UNLISTED = "not listed under `training` in the Decathlon's dataset.json"


class _Pair(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    image: str
    label: str


class _Document(BaseModel):
    """The Decathlon's ``dataset.json``."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    name: str = ""
    description: str | None = None
    reference: str | None = None
    licence: str | None = None
    modality: dict[str, str]
    labels: dict[str, Any]
    number: int | None = Field(default=None, alias="numTraining")
    training: tuple[_Pair, ...]


def is_root(folder: Path) -> bool:
    """Whether a folder is a task of the Decathlon; a damaged ``dataset.json`` counts, ``read`` names it."""
    return (folder / "dataset.json").is_file() and (folder / "imagesTr").is_dir() and not is_nnunet(folder)


def is_nnunet(folder: Path) -> bool:
    """Whether a folder is a dataset that needs no conversion: nnU-Net's (any version), or one of ours."""
    path = folder / "dataset.json"
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    ours = '"channel_names"' in text or '"cases"' in text
    return ours or (bool(text) and any(stem.endswith("_0000") for stem in image_files(folder / "imagesTr")))


def read(root: Path, source: Source) -> Conversion:
    """Describe a task; images are not opened.

    Raises:
        DataError: if ``dataset.json`` is malformed, if scans have several channels, or if no case is there.
    """
    path = root / "dataset.json"
    document = _read_document(path)
    listed = _listed_cases(document.training, root)
    cases = [case for case in listed if case.image.is_file() and case.label and case.label.is_file()]
    left_out = _left_out(listed, cases, root)
    require_cases(cases, left_out, root)
    dataset = RawDataset(
        name=root.name,
        role="target" if document.name.lower() == _TARGET else "pretrain",
        channel_name=_channel_name(document, path),
        labels=parse_labels(document.labels, path),
        cases=tuple(cases),
    )
    return Conversion(root, dataset, _about(document), left_out, tuple(_warnings(document)))


def _read_document(path: Path) -> _Document:
    text = read_text(path, what="list of the task's files", remedy="extract the download again")
    try:
        return _Document.model_validate_json(text)
    except ValidationError as problem:
        raise DataError(describe_mistakes(problem, str(path))) from None


def _channel_name(document: _Document, path: Path) -> str:
    names = list(document.modality.values())
    if len(names) != 1:
        raise DataError(
            f"{path}: its scans have {len(names)} channels ({', '.join(names)}), and one is supported; "
            "choose a task of one, such as any of the CT tasks"
        )
    return names[0]


def _listed_cases(pairs: Iterable[_Pair], root: Path) -> list[RawCase]:
    return [
        RawCase(id=stem, image=_find(root / pair.image), label=_find(root / pair.label), patient=stem)
        for pair in pairs
        for stem in [image_stem(Path(pair.image).name)]
        if not stem.startswith(".")
    ]


def _find(path: Path) -> Path:
    """The file listed, or the same with another ending (decompressed, say)."""
    return path if path.is_file() else image_files(path.parent).get(image_stem(path.name), path)


def _left_out(listed: list[RawCase], cases: list[RawCase], root: Path) -> LeftOut:
    lacking = sorted({case.id for case in listed} - {case.id for case in cases})
    unlisted = sorted(set(image_files(root / "imagesTr")) - {case.id for case in listed})
    found = {_LACKING: tuple(lacking), _UNLISTED: tuple(unlisted)}
    return {reason: names for reason, names in found.items() if names}


def _about(document: _Document) -> dict[str, str]:
    stated = document.model_dump(include={"description", "reference", "licence"}, exclude_none=True)
    return {key: str(value) for key, value in stated.items()}


def _warnings(document: _Document) -> Iterable[str]:
    listed = len(document.training)
    if document.number not in (None, listed):
        yield f"dataset.json says numTraining {document.number}, but lists {listed} cases"
