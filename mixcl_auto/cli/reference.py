"""The part of the commands' pages in ``docs/`` that is written from the commands themselves.

``python -m mixcl_auto.cli.reference docs`` writes it anew, between two marks in each page; all else in a page
is written by hand.
"""

import re
from pathlib import Path

import click

from mixcl_auto.cli.main import COMMANDS, cli
from mixcl_auto.io.files import write_text

BEGIN = "<!-- written by `make docs`: change the command's help, not this -->"
END = "<!-- end of what `make docs` writes -->"

_STATED_DEFAULT = re.compile(r"\s*\[default: (.+?)\]")


def command_pages(docs: Path) -> dict[Path, str]:
    """The pages that hold a written part, and that part; the index has the options before every command."""
    root = click.Context(cli, info_name="mixcl_auto")
    pages = {docs / "README.md": reference(cli, root)}
    for name in COMMANDS:
        if command := cli.get_command(root, name):
            context = click.Context(command, info_name=name, parent=root)
            pages[docs / "commands" / f"{name}.md"] = reference(command, context)
    return pages


def reference(command: click.Command, context: click.Context) -> str:
    """How a command is called, and a table of its arguments and options, as Markdown."""
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    shown = [one for one in command.params if not (isinstance(one, click.Option) and one.hidden)]
    rows = [f"| {' | '.join(_row(parameter, context))} |" for parameter in shown]
    table = ["| option | value | default | meaning |", "|---|---|---|---|", *rows] if rows else []
    return "\n".join(["```", usage, "```", *([""] if table else []), *table])


def updated(page: str, part: str) -> str:
    """A page with a new part between its marks.

    Raises:
        ValueError: if it does not have both marks, once each and in order.
    """
    before, found, rest = page.partition(BEGIN)
    _, closed, after = rest.partition(END)
    if not found or not closed or BEGIN in rest or END in after:
        raise ValueError(f"needs the lines {BEGIN} and {END}, once each")
    return f"{before}{BEGIN}\n\n{part}\n\n{END}{after}"


def _row(parameter: click.Parameter, context: click.Context) -> tuple[str, str, str, str]:
    """Name, value, default and meaning."""
    text = (getattr(parameter, "help", None) or _told_by(context.command, parameter)).strip()
    stated = _STATED_DEFAULT.search(text)
    default = stated.group(1) if stated else _default(parameter)
    meaning = re.sub(r"\s+", " ", _STATED_DEFAULT.sub("", text)).strip()
    names = parameter.opts if isinstance(parameter, click.Option) else [(parameter.name or "").upper()]
    spelt = ", ".join(f"`{name}`" for name in names)
    return spelt, _value(parameter, context), _escaped(default), _escaped(meaning)


def _told_by(command: click.Command, parameter: click.Parameter) -> str:
    """An argument's meaning, which its command's help gives: "NAME is ..."."""
    text = re.sub(r"\s+", " ", command.help or "")
    told = re.search(rf"\b{(parameter.name or '').upper()} is (.+?)(?:\.(?: |$)|; [A-Z]+ is )", text)
    return f"{told[1]}." if told and isinstance(parameter, click.Argument) else ""


def _default(parameter: click.Parameter) -> str:
    if parameter.required:
        return "required"
    value = parameter.default
    if isinstance(parameter, click.Option) and (parameter.is_flag or not parameter.show_default):
        return ""
    values = value if isinstance(value, tuple) else (value,)
    return ", ".join(f"`{one}`" for one in values)


def _value(parameter: click.Parameter, context: click.Context) -> str:
    kind = parameter.type
    if isinstance(parameter, click.Option) and parameter.is_flag:
        return ""
    if isinstance(kind, click.Choice):
        return ", ".join(f"`{choice}`" for choice in kind.choices)
    if parameter.metavar:
        word = parameter.metavar
    elif isinstance(kind, click.Path):
        word = "PATH" if kind.file_okay else "FOLDER"
    elif isinstance(kind, click.IntRange | click.FloatRange):
        word = "N" if isinstance(kind, click.IntRange) else "NUMBER"
    else:
        word = parameter.make_metavar(context)
    return f"`{_escaped(word)}`{_range(kind)}"


def _range(kind: object) -> str:
    """The bounds of a number in words."""
    if not isinstance(kind, click.IntRange | click.FloatRange):
        return ""
    words = []
    if kind.min is not None:
        words.append(f"{'above' if kind.min_open else 'at least'} {kind.min:g}")
    if kind.max is not None:
        words.append(f"{'below' if kind.max_open else 'at most'} {kind.max:g}")
    return f", {' and '.join(words)}" if words else ""


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


@click.command()
@click.argument("docs", type=click.Path(exists=True, file_okay=False, path_type=Path))
def main(docs: Path) -> None:
    """Write every page's part anew."""
    for page, part in command_pages(docs).items():
        if not page.is_file():
            raise click.ClickException(f"{page} is missing: write it, with the lines\n{BEGIN}\n{END}")
        try:
            write_text(page, updated(page.read_text(encoding="utf-8"), part))
        except ValueError as problem:
            raise click.ClickException(f"{page} {problem}") from problem


if __name__ == "__main__":
    main()
