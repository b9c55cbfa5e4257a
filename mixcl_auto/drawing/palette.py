"""Colours that colour-blind readers can tell apart (Okabe and Ito; Tol), and plain figures without pyplot."""

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
    "#d55e00",
    "#009e73",
    "#f0e442",
    "#cc79a7",
    "#882255",
    "#e69f00",
    "#aa4499",
    "#44aa99",
    "#ddcc77",
    "#0072b2",
    "#88ccee",
    "#999933",
)


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


def new_figure(width_inches: float, height_inches: float) -> "Figure":
    """A figure of its own, known to no global state."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width_inches, height_inches), layout="constrained", facecolor="white")


def save_figure(figure: "Figure", path: Path) -> Path:
    """Write a figure at once as its suffix says; the same figure gives the same bytes."""
    with replacing(path) as temporary, _reproducible():
        kind = path.suffix.removeprefix(".")
        metadata = {"Date": None} if kind == "svg" else {"Software": None}
        figure.savefig(temporary, format=kind, dpi=130, metadata=metadata)
    return path


@contextmanager
def _reproducible() -> Iterator[None]:
    from matplotlib import rc_context

    with rc_context({"svg.hashsalt": "mixcl_auto"}):
        yield
