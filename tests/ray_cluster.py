"""A Ray cluster of two nodes on this machine, for tests: one core each, whose death is noticed at once."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HEALTH_CHECKS = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 1000,
    "health_check_failure_threshold": 2,
}
_NODE = {"num_cpus": 1, "num_gpus": 0, "object_store_memory": 100 * 2**20, "include_dashboard": False}


@contextmanager
def two_nodes() -> Iterator[Any]:
    """The cluster, which this process is connected to; ``cluster.worker_nodes`` holds the second node.

    Tasks may be functions of the tests' folders.
    """
    import ray
    from ray.cluster_utils import Cluster

    before = os.environ.get("PYTHONPATH")
    tests = Path(__file__).parent
    os.environ["PYTHONPATH"] = os.pathsep.join([str(tests / "engines"), str(tests), *filter(None, [before])])
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    cluster = Cluster(initialize_head=True, head_node_args={**_NODE, "_system_config": HEALTH_CHECKS})
    try:
        cluster.add_node(**_NODE)
        ray.init(address=cluster.address, log_to_driver=False, configure_logging=False)
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
