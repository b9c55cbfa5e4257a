"""What the nodes of a Ray cluster have."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from mixcl_auto.engines.engine import Resources

Node = Mapping[str, Any]
"""As ``ray.nodes`` describes it."""

_ROUNDING = 1e-6


def fitted(resources: Resources, nodes: Sequence[Node]) -> Resources:
    """The same, with no more threads and memory than the largest node with such GPUs has."""
    kinds = [node["Resources"] for node in nodes]
    able = [has for has in kinds if has.get("GPU", 0) >= resources.gpus - _ROUNDING] or kinds
    cpus = max((int(has.get("CPU", 0)) for has in able), default=0)
    memory = max((int(has.get("memory", 0)) for has in able), default=0)
    return replace(
        resources,
        cpus=min(resources.cpus, max(1, cpus)),
        memory_bytes=min(resources.memory_bytes, memory),
    )


def capacity_of(node: Node, resources: Resources) -> int:
    """How many tasks of such resources one node runs at once."""
    has = node["Resources"]
    needs = {"CPU": max(1, resources.cpus), "GPU": resources.gpus, "memory": resources.memory_bytes}
    return min(int(has.get(kind, 0) / need + _ROUNDING) for kind, need in needs.items() if need > 0)


def name_of(node: Node) -> str:
    """A node in messages."""
    return f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']}, {node['NodeID'][:8]})"


def describe(nodes: Sequence[Node]) -> str:
    """Every node with its CPUs and GPUs, for messages."""
    parts = [
        f"{name_of(node)} with {node['Resources'].get('CPU', 0):g} CPUs and "
        f"{node['Resources'].get('GPU', 0):g} GPUs"
        for node in nodes
    ]
    return "; ".join(parts) or "no node"
