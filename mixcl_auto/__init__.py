"""mixcl_auto: MixCL pre-training and few-label fine-tuning for CT segmentation, configured by itself.

Conventions, said once for the whole package:

- Arrays are (x, y, z) in RAS orientation after loading; tensors are (B, C, X, Y, Z).
- Voxel ``i`` of spacing ``s`` covers ``[i s, (i + 1) s)`` along its axis: resampling aligns the extents of
  the two grids, and ``n`` voxels become ``round(n s / t)`` at spacing ``t``.
- Quantities carry their unit in the name: ``spacing_mm``, ``window_hu``, ``distance_voxels``.
- Stages talk through files in the workspace, never to each other; imports only go down the layers listed in
  the README.

The commands are functions here too, loaded when first used: ``mixcl_auto.plan_and_preprocess``, ``pretrain``,
``finetune``, ``predict``, ``report`` and the others of ``__all__``.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mixcl_auto.workflows.benchmark import benchmark
    from mixcl_auto.workflows.convert import convert
    from mixcl_auto.workflows.demo import demo
    from mixcl_auto.workflows.doctor import doctor
    from mixcl_auto.workflows.evaluate import evaluate_folder, evaluate_run
    from mixcl_auto.workflows.experiment import experiment, experiment_commands, experiment_status
    from mixcl_auto.workflows.export import export
    from mixcl_auto.workflows.finetune import finetune
    from mixcl_auto.workflows.plan_and_preprocess import plan_and_preprocess
    from mixcl_auto.workflows.predict import predict
    from mixcl_auto.workflows.pretrain import pretrain
    from mixcl_auto.workflows.probe import probe
    from mixcl_auto.workflows.report import report
    from mixcl_auto.workflows.validate import validate

__version__ = "0.1.0"

__all__ = [
    "benchmark",
    "convert",
    "demo",
    "doctor",
    "evaluate_folder",
    "evaluate_run",
    "experiment",
    "experiment_commands",
    "experiment_status",
    "export",
    "finetune",
    "plan_and_preprocess",
    "predict",
    "pretrain",
    "probe",
    "report",
    "validate",
]


def __getattr__(name: str) -> Any:
    """Load a public function when it is first used, so that importing the package stays light."""
    if name not in __all__:
        raise AttributeError(f"module 'mixcl_auto' has no attribute {name!r}")
    module = next((shared for shared in ("evaluate", "experiment") if name.startswith(f"{shared}_")), name)
    return getattr(importlib.import_module(f"mixcl_auto.workflows.{module}"), name)


def __dir__() -> list[str]:
    """What is here, what is not loaded yet included."""
    return sorted({*globals(), *__all__})
