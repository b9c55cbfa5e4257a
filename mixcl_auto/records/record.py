"""The base of all records: frozen, strict about keys, hashed by content."""

import hashlib
import json
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from mixcl_auto.errors import DataError, MixCLError
from mixcl_auto.records.names import shown

_LARGEST_SHOWN = 10**15
"""Whole numbers of thousands of digits can't be written."""
_MOST_MISTAKES = 50
"""Listed of one document; people write fewer."""


class Record(BaseModel):
    """A frozen value that refuses unknown keys and non-finite numbers."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        protected_namespaces=(),
        use_attribute_docstrings=True,
    )

    def to_json(self) -> str:
        """This record as indented JSON that ends in a newline."""
        return self.model_dump_json(indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, *, source: str, error: type[MixCLError] = DataError) -> Self:
        """Read a record, reporting every mistake at once with its path.

        Args:
            text: the JSON document.
            source: what the error should name, usually the file.
            error: the exception to raise.

        Raises:
            MixCLError: of the class ``error``, one line per mistake.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as problem:
            raise error(describe_mistakes(problem, source)) from None


def describe_mistakes(problem: ValidationError, source: str) -> str:
    """The mistakes of a document, one line each with the path of the field; of very many the first."""
    mistakes = problem.errors()
    if mistakes[0]["type"] == "json_invalid":
        return f"{source}: not JSON ({mistakes[0]['ctx']['error']}); correct it there, or restore the file"
    lines = [
        f"  {'.'.join(shown(str(part)) for part in mistake['loc']) or '(document)'}: {_said(mistake)}"
        for mistake in mistakes[:_MOST_MISTAKES]
    ]
    if len(mistakes) > _MOST_MISTAKES:
        lines.append(f"  and {len(mistakes) - _MOST_MISTAKES} more")
    return "\n".join([f"{source}: {len(mistakes)} mistake(s); correct these fields:", *lines])


def _said(mistake: ErrorDetails) -> str:
    """A mistake in plain words, with the value where the words leave it out."""
    if mistake["type"] == "extra_forbidden":
        return "there is no such field; correct its name, or take it out"
    said = mistake["msg"].removeprefix("Value error, ")
    value = mistake["input"]
    is_simple = isinstance(value, str | float) or (isinstance(value, int) and abs(value) < _LARGEST_SHOWN)
    return f"{said}, got {shown(repr(value))}" if is_simple and mistake["type"] != "value_error" else said


def content_hash(record: BaseModel) -> str:
    """The first 12 hexadecimal digits of the SHA-256 of the record's canonical JSON."""
    canonical = json.dumps(record.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]
