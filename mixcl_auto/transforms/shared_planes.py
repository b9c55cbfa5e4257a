"""Work on planes, shared by threads."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor


def share_planes(work: Callable[[range], None], planes: int, threads: int) -> None:
    """Let each thread work on a stretch of the planes, all of about the same length.

    Args:
        work: Called with the numbers of some planes. Calls run at once where they are in kernels, which
            release Python's lock.
        planes: How many there are.
        threads: How many work on them.
    """
    bounds = [planes * part // threads for part in range(threads + 1)]
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, map(range, bounds[:-1], bounds[1:])))
