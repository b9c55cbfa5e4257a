"""nnU-Net v2's own preprocessing of the phantom: its default preprocessor under a plan for the same grid."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.phantom_volumes import ORGANS, TARGET_MM

WINDOW_HU = (-150.0, 250.0)
"""nnU-Net's is the pool's 0.5 and 99.5 percentiles, which a plan holds as numbers."""
_MEAN_HU, _STD_HU = 50.0, 100.0
_RESAMPLING = "resample_data_or_seg_to_shape"


def preprocess_with_nnunet(image: Path, labels: Path, case: Path) -> None:
    """Write ``<case>.b2nd``, ``<case>_seg.b2nd`` and ``<case>.pkl`` anew, as nnU-Net's own command does."""
    from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    for old in case.parent.glob("*"):
        old.unlink()  # blosc2 does not overwrite
    case.parent.mkdir(exist_ok=True)
    plans = PlansManager(nnunet_plans())
    description = {"labels": {"background": 0} | {organ: n for n, organ in enumerate(ORGANS, start=1)}}
    preprocessor = DefaultPreprocessor(verbose=False)
    configuration = plans.get_configuration("3d_fullres")
    preprocessor.run_case_save(str(case), [str(image)], str(labels), plans, configuration, description)


def nnunet_plans(target_mm: Sequence[float] = TARGET_MM) -> dict[str, Any]:
    """The parts of a plan that preprocessing reads, with what nnU-Net's planner puts there for CT."""
    resampling = {"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": None}
    return {
        "plans_name": "nnUNetPlans",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "image_reader_writer": "SimpleITKIO",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {
            "0": {
                "mean": _MEAN_HU,
                "std": _STD_HU,
                "percentile_00_5": WINDOW_HU[0],
                "percentile_99_5": WINDOW_HU[1],
            }
        },
        "configurations": {
            "3d_fullres": {
                "preprocessor_name": "DefaultPreprocessor",
                "patch_size": [96, 96, 96],
                "spacing": list(target_mm)[::-1],
                "normalization_schemes": ["CTNormalization"],
                "use_mask_for_norm": [False],
                "resampling_fn_data": _RESAMPLING,
                "resampling_fn_data_kwargs": resampling,
                "resampling_fn_seg": _RESAMPLING,
                "resampling_fn_seg_kwargs": {**resampling, "is_seg": True, "order": 1},
                "architecture": {},
            }
        },
    }


def read_nnunet_case(case: Path) -> tuple[NDArray[np.float32], NDArray[np.int16]]:
    """What nnU-Net wrote for a file with axes LPS: HU within the window and labels, (x, y, z) in RAS."""
    import blosc2

    image, labels = (blosc2.open(f"{case}{kind}.b2nd", mode="r")[0] for kind in ("", "_seg"))
    image_hu = np.float32(_STD_HU) * image + np.float32(_MEAN_HU)
    return _to_ras(image_hu), np.maximum(_to_ras(labels), 0)  # -1 is outside the body for nnU-Net


def _to_ras(array_kji: NDArray[Any]) -> NDArray[Any]:
    return array_kji.transpose(2, 1, 0)[::-1, ::-1]
