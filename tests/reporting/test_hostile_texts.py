"""Every text that a stranger's plan, run or scores can hold, on the page and in the tables, as text alone."""

import re
from html.parser import HTMLParser

import pytest

from mixcl_auto.io.files import write_text
from mixcl_auto.io.scores import read_scores, write_scores
from mixcl_auto.records.failure import Failure
from mixcl_auto.records.run import FinetuneRun
from mixcl_auto.reporting.report import write_report


def attack(place: str) -> str:
    """Markup that would run a script if a page took it as such, in every kind of context."""
    return f"{place}'\"><img src=x onerror=alert({place})>${{{{7*7}}}}"


ORGANS = ("liver", "spleen")
PLAN_TEXTS = ("description", "preset", "warning", "decision", "channel", "dataset", "organ")
RUN_TEXTS = ("device", "version", "init", "case", "failure", "patient")

NOT_SHOWN = ("channel", "patient")
"""But for the plan's JSON, where they are spelt as JSON spells them."""


class Elements(HTMLParser):
    """The elements of a page that could run something, and its visible text."""

    def __init__(self) -> None:
        super().__init__()
        self.active: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        active = [name for name, value in attrs if name.startswith("on") or "javascript:" in (value or "")]
        self.active += [f"{tag} {name}" for name in active]

    def handle_data(self, data: str) -> None:
        self.text += data


def with_hostile_plan(lab) -> str:
    """Texts in every place of the plan; the target's name."""
    target = attack("dataset")
    datasets = tuple(
        dataset.model_copy(
            update={
                "name": target if dataset.is_target else dataset.name,
                "labels": {attack("organ"): 1, "spleen": 2} if dataset.is_target else dataset.labels,
                "channel_name": attack("channel"),
                "cases": (attack("case"), "b") if dataset.is_target else dataset.cases,
            }
        )
        for dataset in lab.plan.datasets
    )
    decision = lab.plan.decisions[0].model_copy(update={"reason": attack("decision")})
    lab.plan = lab.plan.model_copy(
        update={
            "description": attack("description"),
            "preset": attack("preset"),
            "datasets": datasets,
            "decisions": (decision,),
            "warnings": (attack("warning"),),
        }
    )
    return target


def with_hostile_run(lab, folder) -> None:
    """Texts in every place of a run's record and its scores."""
    run = FinetuneRun.from_json(folder.run.read_text(encoding="utf-8"), source="run")
    environment = run.environment.model_copy(
        update={"device": attack("device"), "mixcl_auto": attack("version")}
    )
    held_out = (attack("case"), "b")
    write_text(
        folder.run,
        run.model_copy(update={"environment": environment, "held_out_cases": held_out}).to_json(),
    )
    renamed = [
        score.model_copy(
            update={
                "organ": attack("organ") if score.organ == "liver" else score.organ,
                "case": attack("case") if score.case == "a" else score.case,
                "patient": attack("patient"),
            }
        )
        for score in read_scores(folder.scores)
    ]
    write_scores(folder.scores, renamed)


@pytest.fixture
def hostile_lab(make_lab):
    lab = make_lab(fractions=(1.0,), folds=(0, 1, 2), inits=("scratch", attack("init")))
    target = with_hostile_plan(lab)
    for number, init in enumerate(lab.plan.experiment.inits):
        for fold in (0, 1):
            dice = 0.5 + 0.1 * number + 0.02 * fold
            with_hostile_run(lab, lab.finetune(init, 1.0, fold, dice, dataset=target, log=True))
    with_hostile_run(lab, lab.finetune(init, 1.0, 2, {"b": dict.fromkeys(ORGANS, 0.5)}, dataset=target))
    failed = lab.finetune("scratch", 1.0, 2, 0.0, dataset=target, status="running", scored=False)
    failure = Failure(attempts=3, host="h", at="2026-01-01T00:00:00Z", message=attack("failure"))
    write_text(failed.failure, failure.to_json())
    return lab


def test_no_text_of_a_stranger_becomes_markup(hostile_lab):
    folder = write_report(hostile_lab.workspace, hostile_lab.plan, "plan")
    page = folder.page.read_text(encoding="utf-8")
    elements = Elements()
    elements.feed(page)
    assert elements.active == []
    assert "<img src=x" not in page
    for place in (*PLAN_TEXTS, *RUN_TEXTS):
        if place not in NOT_SHOWN:
            assert attack(place) in elements.text, f"{place} is not on the page: the test shows nothing of it"


def test_pictures_and_tables_hold_such_texts_as_text(hostile_lab):
    folder = write_report(hostile_lab.workspace, hostile_lab.plan, "plan")
    files = [path for path in folder.path.rglob("*") if path.suffix in (".svg", ".md", ".tex")]
    assert {path.suffix for path in files} == {".svg", ".md", ".tex"}
    for path in files:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"(?<!\\)<img src=x", re.sub(r"<!--.*?-->", "", text)), path
        if path.suffix == ".svg":
            assert "--><img" not in text
