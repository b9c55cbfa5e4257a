"""Say why nothing moves: numba compiles a kernel at its first use on a machine, which takes seconds."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from numba.core import event

logger = logging.getLogger(__name__)


class _Teller(event.Listener):
    """Logs one line when the first kernel is compiled; one that is loaded from numba's cache is no event."""

    def __init__(self) -> None:
        self._told = False

    def on_start(self, event: Any) -> None:
        if not self._told:
            self._told = True
            logger.info("compiling the kernels: takes some seconds, once per installation and machine")

    def on_end(self, event: Any) -> None:
        pass


@contextmanager
def telling_of_compilation() -> Iterator[None]:
    """Log one line as soon as a kernel has to be compiled meanwhile; nothing where all are cached."""
    with event.install_listener("numba:compile", _Teller()):
        yield
