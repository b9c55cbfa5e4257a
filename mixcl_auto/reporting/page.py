"""``index.html``: one page that holds everything, its pictures included."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from mixcl_auto import __version__
from mixcl_auto.records.fingerprint import DatasetFingerprint
from mixcl_auto.records.plan import Plan
from mixcl_auto.reporting.findings import NOTHING_FOUND, by_question, multiplicity_note
from mixcl_auto.reporting.grid import Grid
from mixcl_auto.reporting.headline import Verdict
from mixcl_auto.reporting.overlays import CasePictures, Picture
from mixcl_auto.reporting.overview import (
    MissingRow,
    dataset_table,
    decision_table,
    environment_table,
    fingerprint_table,
    missing_rows,
    pretraining_table,
)
from mixcl_auto.reporting.table_formats import MISSING, Table

if TYPE_CHECKING:
    from markupsafe import Markup

_SECTIONS = (
    ("runs", "What was run"),
    ("findings", "Findings"),
    ("tables", "Tables"),
    ("labels", "Label efficiency"),
    ("budget", "Budget"),
    ("organs", "Organs"),
    ("cases", "Held-out cases"),
    ("encoders", "Encoders"),
    ("training", "Training"),
    ("plan", "Data and plan"),
)
_MOST_OPEN_ROWS = 16
"""A longer table is folded up."""
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
    file: str
    """The same picture beside the page, for papers and slides."""


@dataclass(frozen=True)
class Tables:
    """The tables that are files too, by section."""

    headlines: Sequence[Table]
    differences: Table
    organs: Sequence[Table]
    budget: Table | None = None
    probes: Table | None = None

    @property
    def every(self) -> tuple[Table, ...]:
        """All that there are."""
        at_times = (table for table in (self.budget, self.probes) if table is not None)
        return (*self.headlines, self.differences, *self.organs, *at_times)


@dataclass(frozen=True)
class Pictures:
    """The page's figures by section."""

    findings: Sequence[Picture] = ()
    label_efficiency: Sequence[Picture] = ()
    budget: Sequence[Picture] = ()
    organs: Sequence[Picture] = ()
    cases: CasePictures = field(default_factory=CasePictures)
    training: Sequence[Picture] = ()

    @property
    def every(self) -> tuple[Picture, ...]:
        """All of them."""
        cases = (*self.cases.ranked, *self.cases.worst)
        return (
            *(*self.findings, *self.label_efficiency, *self.budget),
            *(*self.organs, *cases, *self.training),
        )


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
    findings: Sequence[tuple[str, Sequence[Verdict]]]
    """The verdicts by the question that they answer."""
    findings_note: str
    finding_figures: Sequence[InlinePicture]
    differences: Table
    headline_tables: Sequence[Table]
    label_efficiency: Sequence[InlinePicture]
    budget_figures: Sequence[InlinePicture]
    budget: Table | None
    organ_figures: Sequence[InlinePicture]
    organ_tables: Sequence[Table]
    viewed_cases: Sequence[dict[str, Any]]
    ranked_cases: Sequence[InlinePicture]
    worst_cases: Sequence[InlinePicture]
    case_notes: Sequence[str]
    probes: Table | None
    training: Sequence[InlinePicture]
    datasets: Table
    fingerprints: Table
    warnings: Sequence[str]
    decisions: Table
    plan_json: str
    version: str = __version__


def build_page(
    grid: Grid,
    plan_name: str,
    *,
    verdicts: Sequence[Verdict],
    tables: Tables,
    pictures: Pictures,
    fingerprints: Sequence[DatasetFingerprint] = (),
) -> Page:
    """Put together what the page shows."""
    plan, cases = grid.plan, pictures.cases
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
        findings=by_question(verdicts),
        findings_note=multiplicity_note(verdicts),
        finding_figures=_inline(pictures.findings),
        differences=tables.differences,
        headline_tables=tables.headlines,
        label_efficiency=_inline(pictures.label_efficiency),
        budget_figures=_inline(pictures.budget),
        budget=tables.budget,
        organ_figures=_inline(pictures.organs),
        organ_tables=tables.organs,
        viewed_cases=[case.to_json_values() for case in cases.viewed],
        ranked_cases=_inline(cases.ranked),
        worst_cases=_inline(cases.worst),
        case_notes=cases.notes,
        probes=tables.probes,
        training=_inline(pictures.training),
        datasets=dataset_table(plan),
        fingerprints=fingerprint_table(fingerprints),
        warnings=plan.warnings,
        decisions=decision_table(plan),
        plan_json=plan.to_json(),
    )


def render_page(page: Page) -> str:
    """The page as HTML; every text is escaped."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined
    from markupsafe import Markup

    templates = files("mixcl_auto.reporting") / "templates"

    def read(name: str) -> str:
        return (templates / name).read_text(encoding="utf-8")

    environment = Environment(
        loader=FunctionLoader(read),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["code"] = _mark_code
    return environment.get_template("index.html.j2").render(
        page=page,
        sections=_SECTIONS,
        style=Markup(read("style.css")),
        script=Markup(read("viewer.js")),
        missing_text=MISSING,
        nothing_found=NOTHING_FOUND,
        most_open_rows=_MOST_OPEN_ROWS,
    )


def inline(picture: Picture) -> InlinePicture:
    """A picture's bytes as a data URI."""
    content = base64.b64encode(picture.path.read_bytes()).decode("ascii")
    uri = f"data:{_KINDS[picture.path.suffix]};base64,{content}"
    return InlinePicture(uri, picture.caption, f"{picture.path.parent.name}/{quote(picture.path.name)}")


def picture_of(path: Path | None, caption: str) -> list[Picture]:
    """A picture, or none where nothing was drawn."""
    return [] if path is None else [Picture(path, caption)]


def _inline(pictures: Sequence[Picture]) -> list[InlinePicture]:
    return [inline(picture) for picture in pictures]


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
