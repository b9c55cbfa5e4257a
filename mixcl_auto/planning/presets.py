"""Presets: a size and an objective, shipped as readable JSON."""

import json
from importlib import resources

from mixcl_auto.errors import PlanError
from mixcl_auto.records.plan import Plan

PRESETS = ("paper", "balanced", "tiny")


def load_preset(name: str) -> Plan:
    """A preset, completed by the plan's defaults.

    Raises:
        PlanError: if there is no such preset.
    """
    if name not in PRESETS:
        raise PlanError(f"no preset {name!r}; there are: {', '.join(PRESETS)}")
    text = (resources.files("mixcl_auto") / "presets" / f"{name}.json").read_text(encoding="utf-8")
    document = json.loads(text) | {"preset": name}
    return Plan.from_json(json.dumps(document), source=f"preset {name}", error=PlanError)
