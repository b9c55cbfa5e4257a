import click
import pytest
from click.testing import CliRunner

from mixcl_auto.cli.numbers import AutoOrNumbers, NumbersCommand, join_numbers


@click.command(cls=NumbersCommand)
@click.option("--spacing", type=AutoOrNumbers(3, "X Y Z"))
@click.option("--window", type=AutoOrNumbers(2, "LOW HIGH"))
@click.option("--flag", is_flag=True)
@click.argument("rest", nargs=-1)
def command(spacing: object, window: object, flag: bool, rest: tuple[str, ...]) -> None:
    click.echo(repr((spacing, window, flag, rest)))


@pytest.mark.parametrize(
    ("arguments", "spacing", "window"),
    [
        ([], None, None),
        (["--spacing", "auto"], "auto", None),
        (["--spacing", "1.5", "1.5", "2.0"], (1.5, 1.5, 2.0), None),
        (["--spacing=1.5 1.5 2"], (1.5, 1.5, 2.0), None),
        (["--spacing", "1.5,1.5,2"], (1.5, 1.5, 2.0), None),
        (["--spacing", "1.5x1.5x2"], (1.5, 1.5, 2.0), None),
        (["--window", "-150", "250", "--spacing", "4", "4", "5"], (4.0, 4.0, 5.0), (-150.0, 250.0)),
        (["--window", "-1e3", ".5"], None, (-1000.0, 0.5)),
    ],
)
def test_every_spelling_is_understood(arguments: list[str], spacing: object, window: object) -> None:
    result = CliRunner().invoke(command, [*arguments, "--flag"])
    assert result.output == f"{(spacing, window, True, ())!r}\n"


@pytest.mark.parametrize("arguments", [["1.5", "2"], ["1", "2", "3", "4"], ["wide"], ["1.5,1.5,x,2,b"]])
def test_another_count_is_a_usage_error_that_says_what_was_expected(arguments: list[str]) -> None:
    result = CliRunner().invoke(command, ["--spacing", *arguments])
    assert result.exit_code == 2
    assert "auto or 3 numbers (X Y Z)" in result.output


def test_a_missing_value_is_a_usage_error() -> None:
    result = CliRunner().invoke(command, ["--spacing", "--flag"])
    assert result.exit_code == 2


def test_numbers_that_follow_other_options_are_left_alone() -> None:
    assert join_numbers(["--fold", "1", "2", "--spacing", "1", "2"], ["--spacing"]) == [
        "--fold",
        "1",
        "2",
        "--spacing=1 2",
    ]
