"""A program that ends when whoever started it is gone: nobody would collect what an orphan computes."""

import os
import signal
import threading
import time

_POLL_S = 1.0
_PATIENCE_S = 60.0


def end_with_parent(parent: int) -> None:
    """Watch the parent process from now on; once it is gone, end this one as SIGTERM would.

    A training saves its state at SIGTERM; after a minute the process ends in any case.

    Args:
        parent: its process id. If it is gone already, this process ends at once.
    """
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_POLL_S)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_PATIENCE_S)
    os._exit(1)
