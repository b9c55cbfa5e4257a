"""What an engine is: tasks go in with the resources they need, results come out as they complete."""

from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar

Given = TypeVar("Given")
Value = TypeVar("Value")
Value_co = TypeVar("Value_co", covariant=True)


@dataclass(frozen=True)
class Resources:
    """What a task takes up while it runs."""

    cpus: int = 1
    """Threads that the task computes with."""
    gpus: float = 0.0
    """0.5: two tasks share a device; above 1 a whole number."""
    memory_bytes: int = 0
    """At its peak; 0 if unknown."""


class Task(Protocol[Value_co]):
    """A picklable unit of work."""

    @property
    def name(self) -> str:
        """For messages."""
        ...

    def run(self) -> Value_co:
        """Do the work; idempotent, since an engine may run it twice."""
        ...


@dataclass(frozen=True)
class Outcome(Generic[Given, Value]):
    """What became of a task: a value, or the error that it ended with."""

    task: Given
    value: Value | None = None
    error: Exception | None = None


class Engine(Protocol):
    """Runs tasks side by side, here or on other machines; a context that closes itself."""

    def submit(self, task: Task[Any], resources: Resources) -> None:
        """Take a task into the queue.

        Raises:
            RunError: if the engine can never run a task of such resources.
        """
        ...

    def wait(self, seconds: float | None = None) -> Outcome[Any, Any] | None:
        """The next result; nothing when the time is up, or when no task is left.

        Args:
            seconds: how long to wait; as long as it takes, if absent.
        """
        ...

    def close(self, patience_s: float = 30.0) -> None:
        """Ask what runs to stop, wait for it, then kill the rest; results not yet fetched are lost.

        Commands get SIGTERM, at which a training saves its state. A second call does nothing.
        """
        ...

    def capacity(self, resources: Resources) -> int:
        """How many tasks of such resources run at once: one at least.

        Raises:
            RunError: if not even one can; the message says what there is.
        """
        ...

    def __enter__(self) -> Self:
        """The engine itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()
