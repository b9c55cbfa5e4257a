"""Names that become parts of paths, tables and pages: data, whoever wrote them."""

import re
import unicodedata
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

WEIGHTS_SUFFIXES = (".safetensors", ".pt", ".pth")
"""What tells a weights file from the name of a pre-training."""

_LONGEST_NAME = 200
"""In bytes of UTF-8: file systems take 255, and files get prefixes and endings."""
_LONGEST_FILE_NAME = 255
_LONGEST_PATH = 4000
"""In bytes; Linux takes 4095."""

_LONGEST_SHOWN = 80

_WORD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")
_RANDOM_WEIGHTS = re.compile(r"scratch(?:-slow|-(?P<draw>[2-9]|[1-9]\d+))?")

NAME_RULE = (
    "a {what} must be a plain name: no / or \\, no control characters, no leading dot, at most 200 bytes; "
    "rename it"
)


def is_plain_name(name: str, most_bytes: int = _LONGEST_NAME) -> bool:
    """Whether a file or folder can be called so: any script and spaces, but nothing that leaves a folder."""
    plain = not name.startswith(".") and not set(name) & set("/\\")
    return plain and is_printable_name(name, most_bytes)


def is_printable_name(name: str, most_bytes: int = _LONGEST_NAME) -> bool:
    """Whether a name can be shown and written: no control characters, not blank, not too long."""
    return is_printable(name) and bool(name.strip()) and len(name.encode()) <= most_bytes


def is_printable(text: str) -> bool:
    """Whether nothing in a text steers a terminal; spaces of every script are harmless."""
    return text.isprintable() or all(
        letter.isprintable() or unicodedata.category(letter) == "Zs" for letter in text
    )


def escaped(text: str) -> str:
    """A text with its control characters escaped, where it has any."""
    return text if is_printable(text) else repr(text)[1:-1]


def is_plain_path(path: str) -> bool:
    """Whether a text can be the path of a file, wherever it lies."""
    return is_printable(path) and 0 < len(path.encode()) <= _LONGEST_PATH


def shown(name: str) -> str:
    """A stranger's word as it can stand in a message: control characters escaped, no longer than a line."""
    short = name if len(name) <= _LONGEST_SHOWN else f"{name[:_LONGEST_SHOWN]}..."
    return short if short.isprintable() else repr(short)[1:-1]


def is_pretraining_name(name: str) -> bool:
    """Whether a pre-training can be called so: a word, and none that means random weights to ``--init``."""
    return bool(_WORD.fullmatch(name)) and not name.lower().startswith("scratch")


def random_draw(init: str) -> int | None:
    """Which draw of random weights ``init`` means, from 0: ``scratch-2`` is 1; absent where it means none."""
    match = _RANDOM_WEIGHTS.fullmatch(init)
    return None if match is None else int(match["draw"] or 1) - 1


def init_name(init: str) -> str:
    """How initial weights are called in results: as given, or the stem of a weights file."""
    return Path(init).stem if init.endswith(WEIGHTS_SUFFIXES) else init


def _plain_name(name: str) -> str:
    if not is_plain_name(name):
        raise ValueError(f"{shown(name)}: {NAME_RULE.format(what='name')}")
    return name


def _printable_name(name: str) -> str:
    if not is_printable_name(name):
        raise ValueError(
            f"{shown(name)} can't be printed as a name: no control characters, not blank, at most 200 "
            "bytes; rename it"
        )
    return name


def _printable_text(text: str) -> str:
    return _printable_name(text) if text else text


def _init(init: str) -> str:
    if not (is_plain_path(init) and is_plain_name(init_name(init))):
        raise ValueError(
            f"{shown(init)} names no initial weights: give the name of a pre-training, which has no / and no "
            f"leading dot, or a file that ends in {', '.join(WEIGHTS_SUFFIXES)}"
        )
    if init.lower().startswith("scratch") and init == init_name(init) and random_draw(init) is None:
        raise ValueError(
            f"{shown(init)} names no initial weights: random ones are scratch, scratch-2, scratch-3, ... and "
            "scratch-slow"
        )
    return init


def _relative_folders(path: str) -> str:
    if not all(is_plain_name(part, _LONGEST_FILE_NAME) for part in path.split("/")):
        raise ValueError(f"{shown(path)} must be plain names with / between them")
    return path


PlainName = Annotated[str, AfterValidator(_plain_name)]
"""Of what has a file or folder of its own: a dataset, a case, a pre-training."""
PrintableName = Annotated[str, AfterValidator(_printable_name)]
"""Of what is shown and never a path as it is: an organ, a patient."""
PrintableText = Annotated[str, AfterValidator(_printable_text)]
"""A printable name, or none."""
Init = Annotated[str, AfterValidator(_init)]
"""Initial weights: a plain name, or a weights file anywhere."""
RelativeFolders = Annotated[str, AfterValidator(_relative_folders)]
"""A folder or file below another one, such as ``Spleen/mixcl/fraction_1``; its names may have endings."""
ContentHash = Annotated[str, Field(pattern="^[0-9A-Za-z]*$", max_length=64)]
"""What ``content_hash`` gives; part of a file's name."""
