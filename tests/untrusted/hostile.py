"""Hostile documents and files: mutations of sound ones, and what readers may do with them."""

import copy
import random
import struct
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from mixcl_auto.errors import MixCLError
from mixcl_auto.records.names import is_printable

Value = TypeVar("Value")

NAMES_THAT_LEAVE = (
    "",
    ".",
    "..",
    "../x",
    "../../../home/x/.ssh/y",
    "/etc/passwd",
    "a/b",
    "a\\b",
    "..\\x",
    ".hidden",
    "a\0b",
    "a\nb",
    "\x1b[2J",
    "\u202egpj.exe",
    " ",
    "\N{NO-BREAK SPACE}",
    "a\N{LINE SEPARATOR}b",
    "x" * 201,
    "\N{OLD ITALIC LETTER A}" * 51,
)
"""No dataset, case or pre-training may be called so."""
NAMES_IN_USE = (
    "BTCV",
    "Task09_Spleen",
    "case 1",
    "patient-07.2",
    "-1",
    "Milz (groß)",
    "\u813e\u81d3",
    "a..b",
    "Case\N{NO-BREAK SPACE}1",
    "\u813e\N{IDEOGRAPHIC SPACE}\u81d3",
    "STS_001_0000",
    "x" * 200,
)
"""Names that real datasets have, or could."""

_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([2**31, 2**63, -(2**63), 10**30, 10**4000])
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.sampled_from(NAMES_THAT_LEAVE)
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
)
KINDS = ("flip", "number", "number", "cut", "double", "fill", "remove")
_NUMBERS = (0, 1, -1, 0x7F, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 10**6)


def bounded(max_examples: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """As many examples, always the same ones; under the profile ``soak`` as many as that says."""
    if settings.get_current_profile_name() == "soak":
        return settings(settings.get_profile("soak"))
    return settings(
        max_examples=max_examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


def read_or_refuse(read: Callable[[], Value]) -> Value | None:
    """What a reader gives; None where it refuses with an error of ours, and any other error goes on."""
    try:
        return read()
    except MixCLError as problem:
        message = str(problem)
    assert is_printable(message.replace("\n", "")), f"a message must not steer a terminal: {message!r}"
    return None


@st.composite
def mutated_documents(draw: st.DrawFn, document: Any) -> Any:
    """A JSON document with one to three values replaced, removed, or put under another key."""
    changed = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 3))):
        places = list(_places(changed))
        if not places:
            break
        holder, key = draw(st.sampled_from(places))
        what = draw(st.sampled_from(["replace", "remove", "rename"]))
        if what == "remove":
            del holder[key]
        elif what == "rename" and isinstance(holder, dict):
            holder[draw(st.text(max_size=10) | st.sampled_from(NAMES_THAT_LEAVE))] = holder.pop(key)
        else:
            holder[key] = draw(_VALUES)
    return changed


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container with each of its keys or indices."""
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from _places(value[key])


@st.composite
def mutated_bytes(
    draw: st.DrawFn, sound: bytes, *, head: int | None = None, kinds: tuple[str, ...] = KINDS
) -> bytes:
    """Bytes flipped, overwritten, cut off, doubled or filled in, at one to six places.

    Args:
        draw: hypothesis's.
        sound: the file.
        head: where most of the places are, such as the length of a header.
        kinds: of damage.
    """
    chance = random.Random(draw(st.integers(0, 2**32 - 1)))
    data = bytearray(sound)
    for _ in range(chance.randint(1, 6)):
        end = min(len(data), head) if head and chance.random() < 0.8 else len(data)
        at = chance.randrange(max(end, 1))
        length = chance.choice((1, 2, 4, 8, 64))
        what = chance.choice(kinds)
        if what == "flip" and data:
            data[min(at, len(data) - 1)] ^= 1 << chance.randrange(8)
        elif what == "number":
            form = chance.choice(("<I", ">I", "<H", ">H", "<f", "<Q"))
            number = struct.pack(form, chance.choice(_NUMBERS) & (0xFFFF if form[1] == "H" else 0xFFFFFFFF))
            data[at : at + len(number)] = number
        elif what == "cut" and chance.random() < 0.3:
            del data[at:]
        elif what == "double":
            data[at:at] = data[at : at + length]
        elif what == "fill":
            data[at : at + length] = bytes([chance.choice((0, 0xFF, 0x30))]) * length
        elif what == "remove":
            del data[at : at + length]
    return bytes(data)
