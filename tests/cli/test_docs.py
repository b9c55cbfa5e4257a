"""The pages under docs/: one per command, options as they are, links that lead somewhere."""

import re
import shlex
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from mixcl_auto.cli.main import COMMANDS, cli
from mixcl_auto.cli.reference import BEGIN, END, command_pages, main, reference, updated

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *DOCS.rglob("*.md"), *ROOT.glob("plans/*.md")])
SECTIONS = ["When to use it", "Example", "Usage and options", "Files", "When it refuses", "More"]


def without_code(text: str) -> str:
    """Markdown without code blocks and code in lines, in which brackets are no links."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"`[^`\n]*`", "code", text)


def links(text: str) -> list[str]:
    """Where a page's links and pictures point, those to the network apart."""
    targets = re.findall(r"\]\(([^)\s]+)\)", without_code(text))
    return [target for target in targets if not re.match(r"[a-z]+:", target)]


def anchors(text: str) -> set[str]:
    """What a page's headings are called in links, as GitHub spells it."""
    headings = re.findall(
        r"^#+ (.+)$", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE), re.M
    )
    plain = (re.sub(r"[^\w\- ]", "", heading.strip().lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in plain}


def broken_links(page: Path) -> list[str]:
    broken = []
    for target in links(page.read_text(encoding="utf-8")):
        name, _, anchor = target.partition("#")
        other = (page.parent / name).resolve() if name else page
        if not other.exists() or (anchor and anchor not in anchors(other.read_text(encoding="utf-8"))):
            broken.append(target)
    return broken


def test_every_command_has_a_page_and_no_page_is_without_a_command() -> None:
    assert sorted(page.stem for page in (DOCS / "commands").iterdir()) == sorted(COMMANDS)


@pytest.mark.parametrize("page", command_pages(DOCS).items(), ids=lambda item: item[0].stem)
def test_options_of_a_page_are_those_of_the_command(page: tuple[Path, str]) -> None:
    path, part = page
    text = path.read_text(encoding="utf-8")
    assert updated(text, part) == text, "run `make docs`"


@pytest.mark.parametrize("page", command_pages(DOCS).items(), ids=lambda item: item[0].stem)
def test_every_option_and_argument_has_a_meaning(page: tuple[Path, str]) -> None:
    assert [line for line in page[1].splitlines() if re.search(r"\|\s*\|$", line)] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_a_page_has_all_sections_and_stands_in_the_index(name: str) -> None:
    text = (DOCS / "commands" / f"{name}.md").read_text(encoding="utf-8")
    assert text.startswith(f"# `{name}`\n")
    assert re.findall(r"^## (.+)$", text, flags=re.MULTILINE) == SECTIONS
    assert f"(commands/{name}.md)" in (DOCS / "README.md").read_text(encoding="utf-8")


def test_every_page_stands_in_the_index() -> None:
    named = links((DOCS / "README.md").read_text(encoding="utf-8"))
    assert {page.name for page in DOCS.glob("*.md")} - {"README.md"} <= set(named)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    assert broken_links(page) == []


def test_links_to_nowhere_are_found(tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text("# A title, with `code`\n```\n# no title\n```\n")
    page = tmp_path / "page.md"
    page.write_text(
        "[a](other.md) [b](other.md#a-title-with-code) [c](https://nowhere) `[d](e)`\n"
        "[f](missing.md) [g](other.md#no-title) ![h](missing.png) [i](#here)\n"
    )
    assert broken_links(page) == ["missing.md", "other.md#no-title", "missing.png", "#here"]


def shown_commands() -> list[tuple[str, str]]:
    """Every call of the tool in a code block of a command's page, with the page's name."""
    found = []
    for page in sorted((DOCS / "commands").iterdir()):
        for block in re.findall(
            r"^```\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
        ):
            lines = [line.removeprefix("$ ").split("#")[0].strip() for line in block.splitlines()]
            found += [(page.stem, line) for line in lines if line.startswith("mixcl_auto ")]
    return [(page, line) for page, line in found if "[OPTIONS]" not in line]


@pytest.mark.parametrize(("page", "line"), shown_commands())
def test_every_command_shown_is_understood(page: str, line: str) -> None:
    name, *arguments = shlex.split(line)[1:]
    context = click.Context(cli)
    command = cli.get_command(context, name)
    assert command is not None
    for parameter in command.params:
        if isinstance(parameter.type, click.Path):
            parameter.type.exists = False
    command.make_context(name, list(arguments), parent=context)
    assert name == page


@click.command()
@click.argument("source")
@click.argument("target")
@click.argument("other")
@click.option("--size", type=click.IntRange(1, 8), default=2, show_default=True, help="How large.")
@click.option("--share", type=click.FloatRange(0, 1, min_open=True), help="Of all. [default: the plan's]")
@click.option("--kind", type=click.Choice(["a", "b"]), required=True, help="Which one.")
@click.option("--span", metavar="LOW|HIGH", multiple=True, help="One or several.")
@click.option("--where", type=click.Path(file_okay=False))
@click.option("--quiet", is_flag=True, help="Say nothing.")
@click.option("--secret", hidden=True)
def sample(**_: object) -> None:
    """A command with one option of each kind.

    SOURCE is a file such as a.txt, or
    a folder; TARGET is a folder. SIZE is of no account.
    """


def test_every_kind_of_option_is_written_out() -> None:
    text = reference(sample, click.Context(sample, info_name="sample"))
    assert text.splitlines() == [
        "```",
        "sample [OPTIONS] SOURCE TARGET OTHER",
        "```",
        "",
        "| option | value | default | meaning |",
        "|---|---|---|---|",
        "| `SOURCE` | `SOURCE` | required | a file such as a.txt, or a folder. |",
        "| `TARGET` | `TARGET` | required | a folder. |",
        "| `OTHER` | `OTHER` | required |  |",
        "| `--size` | `N`, at least 1 and at most 8 | `2` | How large. |",
        "| `--share` | `NUMBER`, above 0 and at most 1 | the plan's | Of all. |",
        "| `--kind` | `a`, `b` | required | Which one. |",
        "| `--span` | `LOW\\|HIGH` |  | One or several. |",
        "| `--where` | `FOLDER` |  |  |",
        "| `--quiet` |  |  | Say nothing. |",
    ]


def test_what_stands_around_the_marks_is_kept() -> None:
    assert (
        updated(f"before\n{BEGIN}\nold\n{END}\nafter\n", "new") == f"before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"
    )


@pytest.mark.parametrize("page", ["", f"{BEGIN}\n", f"{END}\n{BEGIN}\n", f"{BEGIN}\n{BEGIN}\n{END}\n"])
def test_a_page_without_its_marks_is_refused(page: str) -> None:
    with pytest.raises(ValueError, match="once each"):
        updated(page, "new")


def test_pages_are_rewritten_and_a_missing_one_is_named(tmp_path: Path) -> None:
    pages = command_pages(tmp_path)
    for page in pages:
        page.parent.mkdir(exist_ok=True)
        page.write_text(f"by hand\n{BEGIN}\nold\n{END}\n")
    assert CliRunner().invoke(main, [str(tmp_path)]).exit_code == 0
    for page, part in pages.items():
        assert page.read_text() == f"by hand\n{BEGIN}\n\n{part}\n\n{END}\n"
    last = tmp_path / "commands" / f"{COMMANDS[-1]}.md"
    last.write_text("by hand\n")
    result = CliRunner().invoke(main, [str(tmp_path)])
    assert (result.exit_code, "once each" in result.output) == (1, True)
    last.unlink()
    result = CliRunner().invoke(main, [str(tmp_path)])
    assert (result.exit_code, f"{last.name} is missing" in result.output) == (1, True)
