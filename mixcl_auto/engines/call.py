"""A function's call as a task."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Generic, TypeVar

Argument = TypeVar("Argument")
Value = TypeVar("Value")


@dataclass(frozen=True)
class Call(Generic[Argument, Value]):
    """A function with its one argument."""

    function: Callable[[Argument], Value]
    """Of a module, so that it can be pickled; idempotent."""
    argument: Argument
    name: str
    """For messages."""
    initializer: Callable[[], object] | None = None
    """Called before the first task of a process."""

    def run(self) -> Value:
        """Call the function."""
        if self.initializer is not None:
            _once_per_process(self.initializer)
        return self.function(self.argument)


@cache
def _once_per_process(initializer: Callable[[], object]) -> None:
    initializer()
