import pytest

from mixcl_auto.engines.engine import Resources
from mixcl_auto.engines.ray_nodes import capacity_of, describe, fitted

GB = 2**30


def node(cpus, gpus=0, memory=8 * GB):
    has = {"CPU": cpus, "memory": memory} | ({"GPU": gpus} if gpus else {})
    return {
        "NodeManagerHostname": "n",
        "NodeManagerAddress": "10.0.0.1",
        "NodeID": "0123456789",
        "Resources": has,
    }


@pytest.mark.parametrize(
    ("has", "resources", "at_once"),
    [
        (node(8), Resources(3), 2),
        (node(8), Resources(1, memory_bytes=3 * GB), 2),
        (node(8, 2), Resources(1, gpus=1), 2),
        (node(8, 1), Resources(1, gpus=1 / 3), 3),
        (node(8), Resources(1, gpus=1), 0),
        (node(0), Resources(1), 0),
    ],
)
def test_the_scarcest_resource_limits_a_node(has, resources, at_once):
    assert capacity_of(has, resources) == at_once


def test_a_task_gets_no_more_threads_and_memory_than_the_largest_node_that_it_can_run_on():
    nodes = [node(16, memory=64 * GB), node(4, 1)]
    wanted = Resources(32, memory_bytes=100 * GB)
    assert fitted(wanted, nodes) == Resources(16, memory_bytes=64 * GB)
    assert fitted(Resources(32, 1, 100 * GB), nodes) == Resources(4, 1, 8 * GB)
    assert fitted(Resources(2, 0, GB), nodes) == Resources(2, 0, GB)


def test_nodes_are_described_by_what_they_have():
    assert describe([node(8, 2)]) == "n (10.0.0.1, 01234567) with 8 CPUs and 2 GPUs"
    assert describe([]) == "no node"
