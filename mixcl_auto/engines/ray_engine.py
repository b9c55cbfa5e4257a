"""The engine on Ray: tasks on this machine or over the nodes of a cluster, run again where a node dies."""

import os
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from mixcl_auto import __version__
from mixcl_auto.engines.engine import Engine, Outcome, Resources, Task
from mixcl_auto.engines.ray_nodes import Node, capacity_of, describe, fitted, name_of
from mixcl_auto.engines.ray_session import first_line, import_ray, start_ray
from mixcl_auto.errors import RunError

_KILL_S = 10.0
_NODE_CHECK_S = 120.0


class RayEngine(Engine):
    """Runs tasks by Ray, which starts them again if their process or node dies.

    Whether nodes have to show a token is left as Ray sets it up (``RAY_AUTH_MODE``, ``ray get-auth-token``).
    Files are not sent around: tasks name them by absolute paths on a file system that all nodes share. A task
    with more threads, or more memory, than any node has gets all of a node's.
    """

    def __init__(
        self,
        address: str | None = None,
        cores: int | None = None,
        gpus: int | None = None,
        jobs: int | None = None,
        retries: int = 3,
    ) -> None:
        """Start Ray, or connect to it; what this process is connected to already is used, and left running.

        Args:
            address: of a running cluster, ``host:port`` or ``auto``; a Ray for this process alone if absent.
            cores: of a Ray for this process; all that Ray finds, if absent.
            gpus: as ``cores``.
            jobs: tasks at once at most; as many as fit the cluster, if absent.
            retries: how often a task is run again whose process or node died.

        Raises:
            RunError: if Ray isn't installed, can't be reached, or a node has another version of this package.
        """
        self._ray = import_ray(retries)
        self._jobs, self._retries = jobs, retries
        self._waiting: deque[tuple[Task[Any], Resources]] = deque()
        self._running: dict[Any, Task[Any]] = {}
        self._owned = not self._ray.is_initialized()
        if self._owned:
            start_ray(self._ray, address, cores, gpus)
        try:
            self._check_versions()
        except BaseException:
            self.close()
            raise

    def submit(self, task: Task[Any], resources: Resources) -> None:
        """Take a task into the queue.

        Raises:
            RunError: if no node has what it needs.
        """
        self.capacity(resources)
        self._waiting.append((task, resources))
        self._start()

    def wait(self, seconds: float | None = None) -> Outcome[Any, Any] | None:
        """The next result; nothing when the time is up, or when no task is left."""
        self._start()
        if not self._running:
            return None
        done, _ = self._ray.wait(list(self._running), num_returns=1, timeout=seconds)
        if not done:
            return None
        task = self._running.pop(done[0])
        outcome = self._outcome(task, task.name, done[0])
        self._start()
        return outcome

    def close(self, patience_s: float = 30.0) -> None:
        """Stop what runs; a Ray that was started here is shut down."""
        self._waiting.clear()
        running, self._running = list(self._running), {}
        if running and self._ray.is_initialized():
            self._cancel(running, patience_s)
        if self._owned:
            self._owned = False
            self._ray.shutdown()

    def capacity(self, resources: Resources) -> int:
        """How many tasks of such resources the nodes that are alive run at once.

        Raises:
            RunError: if no node has what one needs; the message says what the cluster has.
        """
        nodes = self._nodes()
        fitting = fitted(resources, nodes)
        there = sum(capacity_of(node, fitting) for node in nodes)
        if there == 0:
            raise RunError(
                f"no node of the Ray cluster can run a task of {resources.cpus} CPUs and {resources.gpus:g} "
                f"GPUs; it has {describe(nodes)}; ask for less, or add a node"
            )
        return there if self._jobs is None else min(there, self._jobs)

    def on_every_node(self, function: Callable[..., Any], *arguments: Any) -> dict[str, Outcome[str, Any]]:
        """Call a function once on every node that is alive.

        Args:
            function: of a module.
            arguments: for the function.

        Returns:
            For every node, by its name, what became of the call.
        """
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        calls = {}
        for node in self._nodes():
            here = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            remote = self._ray.remote(function).options(num_cpus=0, scheduling_strategy=here, max_retries=1)
            calls[name_of(node)] = remote.remote(*arguments)
        _, late = self._ray.wait(list(calls.values()), num_returns=len(calls), timeout=_NODE_CHECK_S)
        silent = RunError(f"no answer within {_NODE_CHECK_S:g} s")
        return {
            name: Outcome(name, error=silent) if call in late else self._outcome(name, name, call)
            for name, call in calls.items()
        }

    def _start(self) -> None:
        """Hand queued tasks to Ray, which starts each as soon as a node has what it needs."""
        if not self._waiting:
            return
        remote, nodes = self._ray.remote(run_task), self._nodes()
        while self._waiting and (self._jobs is None or len(self._running) < self._jobs):
            task, wanted = self._waiting.popleft()
            resources = fitted(wanted, nodes)
            call = remote.options(
                name=task.name,
                num_cpus=resources.cpus,
                num_gpus=resources.gpus,
                memory=resources.memory_bytes or None,
                max_retries=self._retries,
                retry_exceptions=False,
            )
            self._running[call.remote(task, resources.gpus)] = task

    def _outcome(self, given: Any, name: str, reference: Any) -> Outcome[Any, Any]:
        """What became of a call that has ended; an error of its own is the one that it raised there."""
        errors = self._ray.exceptions
        try:
            return Outcome(given, value=self._ray.get(reference))
        except errors.RayTaskError as problem:
            cause = problem.cause
            return Outcome(given, error=cause if isinstance(cause, Exception) else RunError(str(problem)))
        except errors.OutOfMemoryError as problem:
            reason, what = first_line(problem), "took more memory than its node has"
        except errors.RayError as problem:
            reason, what = first_line(problem), "was lost with its process or node"
        return Outcome(given, error=RunError(f"{name} {what} (retries: {self._retries}): {reason}"))

    def _cancel(self, running: list[Any], patience_s: float) -> None:
        """Interrupt tasks, wait for them, and kill the processes of those that do not stop."""
        for reference in running:
            self._ray.cancel(reference, force=False)
        _, left = self._ray.wait(running, num_returns=len(running), timeout=patience_s)
        for reference in left:
            self._ray.cancel(reference, force=True)
        if left:
            self._ray.wait(left, num_returns=len(left), timeout=_KILL_S)

    def _check_versions(self) -> None:
        for name, found in self.on_every_node(installed_version).items():
            if found.error is not None:
                raise RunError(
                    f"Ray node {name} can't run mixcl_auto: {first_line(found.error)}; install version "
                    f"{__version__} of it there, as here"
                ) from found.error
            if found.value != __version__:
                raise RunError(
                    f"Ray node {name} has mixcl_auto {found.value}, this machine {__version__}; install the "
                    "same version on all nodes"
                )

    def _nodes(self) -> list[Node]:
        return [node for node in self._ray.nodes() if node["Alive"]]


def run_task(task: Task[Any], gpus: float) -> Any:
    """On a node: run a task; one without a GPU sees none, as with the other engines."""
    with _hidden_devices(gpus == 0):
        return task.run()


def installed_version() -> str:
    """On a node: the version of this package."""
    from mixcl_auto import __version__

    return __version__


@contextmanager
def _hidden_devices(hide: bool) -> Iterator[None]:
    before = os.environ.get("CUDA_VISIBLE_DEVICES")
    if hide:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    try:
        yield
    finally:
        if hide and before is None:
            del os.environ["CUDA_VISIBLE_DEVICES"]
        elif hide and before is not None:
            os.environ["CUDA_VISIBLE_DEVICES"] = before
