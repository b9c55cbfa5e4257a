"""Colours that colour-blind readers can tell apart, and plain figures without pyplot."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from mixcl_auto.io.files import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK = "#1b2733"
GRID_LINE = "#d5dbe1"
_SCRATCH = "#6c7a89"
_ARMS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_MARKERS = ("o", "s", "D", "^", "v", "P", "X")
_ORGANS = (
    "#56b4e9",
    "#f0e442",
    "#117733",
    "#6a3d9a",
    "#ffaabb",
    "#eedd88",
    "#882255",
    "#aaaa00",
    "#cc79a7",
    "#cc6677",
    "#a6761d",
    "#99ddff",
    "#ee8866",
)
"""Any two are at least 18 apart in CIELAB, for normal sight, deuteranopia and protanopia."""


def arm_colours(inits: Iterable[str]) -> dict[str, str]:
    """A colour per initialisation; those from scratch are grey, then dark."""
    scratch = iter((_SCRATCH, "#222222", "#a9b4bf"))
    arms = iter(_ARMS * 10)
    return {init: next(scratch, _SCRATCH) if init.startswith("scratch") else next(arms) for init in inits}


def arm_markers(inits: Iterable[str]) -> dict[str, str]:
    """A marker per initialisation, so that no figure rests on colour alone."""
    return dict(zip(inits, _MARKERS * 10, strict=False))


def organ_colours(labels: Iterable[int]) -> dict[int, str]:
    """A colour per label value, the same in every picture; they repeat after 13."""
    return {label: _ORGANS[(label - 1) % len(_ORGANS)] for label in labels}


def legend_text(name: str) -> str:
    """A name as a legend shows it; matplotlib leaves out those that begin with an underscore."""
    return f" {name}" if name.startswith("_") else name


def new_figure(width_inches: float, height_inches: float) -> "Figure":
    """A figure of its own, known to no global state."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width_inches, height_inches), layout="constrained", facecolor="white")


def save_figure(figure: "Figure", path: Path) -> Path:
    """Write a figure at once as its suffix says; the same figure gives the same bytes."""
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        text.set_parse_math(False)  # two dollar signs in an organ's name are no formula
    with replacing(path) as temporary, _reproducible():
        kind = path.suffix.removeprefix(".")
        metadata = {"Date": None} if kind == "svg" else {"Software": None}
        figure.savefig(temporary, format=kind, dpi=130, metadata=metadata)
    return path


@contextmanager
def _reproducible() -> Iterator[None]:
    from matplotlib import rc_context

    with rc_context({"svg.hashsalt": "mixcl_auto", "text.parse_math": False}):
        yield
