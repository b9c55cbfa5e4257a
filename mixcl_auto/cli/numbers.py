"""Options that take ``auto`` or a fixed count of numbers, written with blanks, commas or ``x`` between."""

import re
from collections.abc import Iterable
from typing import Any, Literal

import click

from mixcl_auto.cli.options import OnceEach

Numbers = tuple[float, ...] | Literal["auto"]

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)


class AutoOrNumbers(click.ParamType[Numbers]):
    """The word ``auto``, or exactly ``count`` numbers."""

    name = "auto or numbers"

    def __init__(self, count: int, names: str) -> None:
        self.count = count
        self.names = names

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """What help shows."""
        return f"auto|{self.names}"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Numbers:
        """Read the text; a usage error names what was expected."""
        if isinstance(value, tuple):
            return value
        if value.strip().lower() == "auto":
            return "auto"
        parts = [part for part in re.split(r"[\s,x]+", value.strip()) if part]
        if len(parts) != self.count or not all(NUMBER.fullmatch(part) for part in parts):
            self.fail(f"write auto or {self.count} numbers ({self.names}); got {value!r}.", param, ctx)
        return tuple(float(part) for part in parts)


class NumbersCommand(OnceEach):
    """A command whose ``AutoOrNumbers`` options may be followed by separate numbers.

    An option of click takes a fixed number of values: ``--spacing 1.5 1.5 2`` is joined into one before.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse, after joining what belongs together."""
        names = {
            name
            for parameter in self.params
            if isinstance(parameter.type, AutoOrNumbers)
            for name in parameter.opts
        }
        return super().parse_args(ctx, join_numbers(args, names))


def join_numbers(arguments: Iterable[str], options: Iterable[str]) -> list[str]:
    """Join the numbers that follow one of the options into one argument, ``--spacing=1.5 1.5 2``."""
    joined: list[str] = []
    names, collecting = set(options), False
    for argument in arguments:
        if collecting and NUMBER.fullmatch(argument):
            joined[-1] += f" {argument}" if "=" in joined[-1] else f"={argument}"
            continue
        joined.append(argument)
        collecting = argument in names or any(argument.startswith(f"{name}=") for name in names)
    return joined
