"""``index.html``: one page that holds everything, its pictures included."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from mixcl_auto import __version__
from mixcl_auto.records.plan import Plan
from mixcl_auto.reporting.grid import Grid
from mixcl_auto.reporting.overlays import Picture
from mixcl_auto.reporting.overview import (
    MissingRow,
    dataset_table,
    decision_table,
    environment_table,
    missing_rows,
    pretraining_table,
)
from mixcl_auto.reporting.table_formats import MISSING, Table

if TYPE_CHECKING:
    from markupsafe import Markup

_SECTIONS = (
    ("runs", "What was run"),
    ("tables", "Tables"),
    ("labels", "Label efficiency"),
    ("cases", "Held-out cases"),
    ("organs", "Organs"),
    ("training", "Training"),
    ("plan", "Data and plan"),
)
_KINDS = {".png": "image/png", ".svg": "image/svg+xml"}


@dataclass(frozen=True)
class Tile:
    """A number at the top of the page."""

    value: str
    label: str
    kind: str = ""
    """``good``, ``warn`` or neither."""


@dataclass(frozen=True)
class InlinePicture:
    """A picture as a data URI, so that the page needs no other file."""

    uri: str
    caption: str


@dataclass(frozen=True)
class Pictures:
    """The page's figures by section."""

    label_efficiency: Sequence[Picture] = ()
    overlays: Sequence[Picture] = ()
    overlay_notes: Sequence[str] = ()
    training: Sequence[Picture] = ()


@dataclass(frozen=True)
class Page:
    """What the template shows."""

    title: str
    description: str
    tiles: Sequence[Tile]
    missing: Sequence[MissingRow]
    missing_count: int
    expected_count: int
    problems: Sequence[str]
    pretrainings: Table
    environments: Table
    headline_tables: Sequence[Table]
    organ_tables: Sequence[Table]
    label_efficiency: Sequence[InlinePicture]
    overlays: Sequence[InlinePicture]
    overlay_notes: Sequence[str]
    training: Sequence[InlinePicture]
    datasets: Table
    warnings: Sequence[str]
    decisions: Table
    plan_json: str
    version: str = __version__


def build_page(
    grid: Grid, plan_name: str, *, headline_tables: Sequence[Table], organs: Table, pictures: Pictures
) -> Page:
    """Put together what the page shows."""
    plan = grid.plan
    return Page(
        title=f"MixCL report: {plan_name}",
        description=plan.description,
        tiles=_tiles(grid),
        missing=missing_rows(grid),
        missing_count=len(grid.missing),
        expected_count=len(grid.expected),
        problems=grid.problems,
        pretrainings=pretraining_table(grid),
        environments=environment_table(grid),
        headline_tables=headline_tables,
        organ_tables=[organs],
        label_efficiency=[inline(picture) for picture in pictures.label_efficiency],
        overlays=[inline(picture) for picture in pictures.overlays],
        overlay_notes=pictures.overlay_notes,
        training=[inline(picture) for picture in pictures.training],
        datasets=dataset_table(plan),
        warnings=plan.warnings,
        decisions=decision_table(plan),
        plan_json=plan.to_json(),
    )


def render_page(page: Page) -> str:
    """The page as HTML; every text is escaped."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    templates = files("mixcl_auto.reporting") / "templates"
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["code"] = _mark_code
    template = environment.from_string((templates / "index.html.j2").read_text(encoding="utf-8"))
    style = Markup((templates / "style.css").read_text(encoding="utf-8"))
    return template.render(page=page, sections=_SECTIONS, style=style, missing_text=MISSING)


def inline(picture: Picture) -> InlinePicture:
    """A picture's bytes as a data URI."""
    content = base64.b64encode(picture.path.read_bytes()).decode("ascii")
    return InlinePicture(f"data:{_KINDS[picture.path.suffix]};base64,{content}", picture.caption)


def _mark_code(text: str) -> "Markup":
    """Text with what stands between backticks set as code, everything escaped."""
    from markupsafe import Markup, escape

    parts = [escape(part) for part in text.split("`")]
    return Markup("").join(Markup("<code>{}</code>").format(p) if n % 2 else p for n, p in enumerate(parts))


def _tiles(grid: Grid) -> list[Tile]:
    plan: Plan = grid.plan
    done = len(grid.expected) - len(grid.missing)
    complete = not grid.missing
    pool = sum(len(dataset.cases) for dataset in plan.pool)
    return [
        Tile(f"{done}/{len(grid.expected)}", "expected runs finished", "good" if complete else "warn"),
        Tile(str(len(grid.finished)), "fine-tunings scored"),
        Tile(str(pool), f"scans in {len(plan.pool)} pre-training datasets"),
        Tile(" x ".join(str(side) for side in plan.network.patch_size), "voxels in a patch"),
        Tile(" x ".join(f"{side:g}" for side in plan.preprocess.spacing_mm), "mm voxel spacing"),
        Tile(plan.preset or "-", "preset"),
    ]


def picture_of(path: Path | None, caption: str) -> list[Picture]:
    """A picture, or none where nothing was drawn."""
    return [] if path is None else [Picture(path, caption)]
