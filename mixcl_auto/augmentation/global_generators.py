"""The one place where numpy's and Python's global generators are touched: batchgenerators draws from both."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


@contextmanager
def seeded_globals(generator: np.random.Generator) -> Iterator[None]:
    """Seed the global generators from a passed one, and put their states back afterwards.

    What runs inside thus depends on ``generator`` alone, and leaves nobody else's draws changed.

    Args:
        generator: Gives the seeds; it advances by the same amount whatever is drawn inside.
    """
    words = generator.integers(2**32, size=5, dtype=np.uint32)
    numpy_state, python_state = np.random.get_state(), random.getstate()
    np.random.seed(words[:4])
    random.seed(int(words[4]))
    try:
        yield
    finally:
        np.random.set_state(numpy_state)
        random.setstate(python_state)
