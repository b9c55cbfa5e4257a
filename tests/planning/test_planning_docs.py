import re
from pathlib import Path

from mixcl_auto.planning.plan import make_plan

DOCS = Path(__file__).parents[2] / "docs" / "planning.md"


def test_every_field_that_the_planner_decides_is_documented(make):
    datasets = [make.dataset("P", "pretrain"), make.dataset("T", "target")]
    found = [make.inspection(dataset.name, case.id) for dataset in datasets for case in dataset.cases]
    planned = make_plan("paper", datasets, found, make.machine(), edits=["pretrain.epochs=3"])
    table = DOCS.read_text(encoding="utf-8").partition("## Rules")[2].partition("###")[0]
    for decision in planned.plan.decisions:
        name = re.sub(r"\.[PT]\.", ".<name>.", decision.field)
        assert f"`{name}`" in table or f"`.{name.partition('.')[2]}`" in table, name
