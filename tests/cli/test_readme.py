"""What README and templates say is so."""

import json
import re
import shlex
from pathlib import Path

import click
import pytest

from mixcl_auto.cli.main import COMMANDS, cli
from mixcl_auto.io.raw_dataset import read_raw_dataset
from mixcl_auto.records.plan import Plan

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()


def shown_commands() -> list[str]:
    """Every line of a code block that calls the tool, without its comment."""
    blocks = re.findall(r"```\n(.*?)```", README, flags=re.DOTALL) + re.findall(
        r"`(mixcl_auto [^`]+)`", README
    )
    lines = [line.split("#")[0].strip() for block in blocks for line in block.splitlines()]
    return sorted({line for line in lines if line.startswith("mixcl_auto ") and "COMMAND" not in line})


@pytest.mark.parametrize("line", shown_commands())
def test_every_command_shown_is_understood(line: str) -> None:
    name, *arguments = shlex.split(line)[1:]
    context = click.Context(cli)
    command = cli.get_command(context, name)
    assert command is not None, line
    for parameter in command.params:
        if isinstance(parameter.type, click.Path):
            parameter.type.exists = False
    command.make_context(name, list(arguments), parent=context)


def test_every_command_is_mentioned() -> None:
    missing = [command for command in COMMANDS if f"mixcl_auto {command}" not in README]
    assert missing == ["demo"], "which `make demo` stands for"
    assert "make demo" in README


def test_every_file_named_exists() -> None:
    named = set(re.findall(r"`((?:mixcl_auto|tests|raw_data_template)/[\w/.]+)`", README))
    named |= {
        f"mixcl_auto/{name}"
        for name in re.findall(r"\| `((?:losses|networks|finetuning)/[\w/.]*)` \|", README)
    }
    assert len(named) >= 12
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_every_plan_field_of_the_decisions_exists() -> None:
    plan = Plan().model_dump()
    table = README.split("## Where the paper is silent")[1].split("The protocol:")[0]
    rows = [row for row in table.splitlines() if re.match(r"\| \d+ \|", row)]
    assert [int(row.split("|")[1]) for row in rows] == list(range(1, 19))
    for row in rows:
        section = ""
        for name in re.findall(r"`([\w.]+)`", row.split("|")[-2]):
            if "/" in name or name.endswith(".py"):
                continue
            head, _, key = name.rpartition(".")
            section = head or section
            assert key in plan[section], name


def test_every_link_to_a_file_works() -> None:
    for target in re.findall(r"\]\((?!https://)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_python_example_names_public_functions() -> None:
    import mixcl_auto

    used = set(re.findall(r"mixcl_auto\.(\w+)\(", README))
    assert used
    assert used <= set(mixcl_auto.__all__)


@pytest.mark.parametrize("name", ["Example_nnUNet", "Example_Cases"])
def test_template_is_a_dataset_as_soon_as_its_files_are_there(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    (folder / "imagesTr").mkdir(parents=True)
    (folder / "labelsTr").mkdir()
    document = json.loads((ROOT / "raw_data_template" / name / "dataset.json").read_text())
    (folder / "dataset.json").write_text(json.dumps(document))
    (folder / "imagesTr" / "patient_01_0000.nii.gz").touch()
    dataset = read_raw_dataset(folder)
    assert dataset.role == document["role"]
    assert len(dataset.cases) == len(document.get("cases", [0]))
    assert 0 not in dataset.labels.values()


def test_templates_cases_are_grouped_by_patient() -> None:
    dataset = read_raw_dataset(ROOT / "raw_data_template" / "Example_Cases")
    assert [case.patient for case in dataset.cases] == ["A", "A", "B", "C"]
    assert [case.series for case in dataset.cases] == [None, None, None, "3"]
