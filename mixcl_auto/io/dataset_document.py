"""``dataset.json`` as a document: read with care, since people write it by hand."""

import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from mixcl_auto.errors import DataError
from mixcl_auto.io.files import read_text
from mixcl_auto.io.json_keys import parse_json
from mixcl_auto.records.case import Role
from mixcl_auto.records.names import PrintableName, is_plain_path, shown
from mixcl_auto.records.record import Record, describe_mistakes


def _plain_path(path: Path) -> Path:
    if not is_plain_path(str(path)):
        raise ValueError(f"{shown(str(path))} can't be the path of a file; correct it")
    return path


FilePath = Annotated[Path, AfterValidator(_plain_path)]


class CaseEntry(Record):
    """An item of ``cases``; paths are absolute or relative to the dataset's folder.

    They may leave that folder, since the key is there to name files where they lie; files are only read.
    """

    id: str
    image: FilePath
    label: FilePath | None = None
    patient: PrintableName | None = None
    series: str | None = Field(default=None, coerce_numbers_to_str=True)
    label_flips: str | None = Field(default=None, pattern="^i?j?k?$")


class DatasetDocument(BaseModel):
    """The keys of ``dataset.json`` that matter here; all others are the user's own."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    role: Role | None = None
    labels: dict[str, Any]
    channel_names: dict[str, str] | None = None
    modality: dict[str, str] | None = None
    """The name of ``channel_names`` in the Medical Segmentation Decathlon."""
    file_ending: str = Field(default=".nii.gz", pattern=r"^\.[A-Za-z0-9.]+$")
    cases: tuple[CaseEntry, ...] | None = None


def read_document(path: Path) -> DatasetDocument:
    """Read ``dataset.json``.

    Raises:
        DataError: if it is missing or no UTF-8 text, if it is not JSON, if a key stands twice (JSON's readers
            keep the last one without a word), or if keys are missing or of the wrong type, all named at once.
    """
    text = read_text(path, what="dataset description", remedy="see raw_data_template for examples")
    if not text.strip():
        raise DataError(f"{path}: the file is empty; see raw_data_template for examples")
    value = _parse(text, path)
    if not isinstance(value, dict):
        raise DataError(
            f"{path}: the outermost value must be an object, {{...}}; see raw_data_template for examples"
        )
    try:
        return DatasetDocument.model_validate(value)
    except ValidationError as problem:
        raise DataError(describe_mistakes(problem, str(path))) from None


def _parse(text: str, path: Path) -> Any:
    try:
        value, twice = parse_json(text)
    except json.JSONDecodeError as problem:
        raise DataError(f"{path}: not JSON ({problem}); correct that line") from None
    except (RecursionError, ValueError) as problem:
        reason = (
            "nested too deeply" if isinstance(problem, RecursionError) else "a number has too many digits"
        )
        raise DataError(f"{path}: can't be used ({reason}); see raw_data_template for examples") from None
    if twice:
        raise DataError(f"{path}: keys given twice: {twice}; keep one of each, or rename one")
    return value
