"""A sound document of every kind, to be changed."""

from mixcl_auto.records.case import CachedCase
from mixcl_auto.records.failure import Failure
from mixcl_auto.records.plan import InferencePlan, Plan
from mixcl_auto.records.prediction import HeldOutPredictions, PredictingModel, PredictionRecord
from mixcl_auto.records.record import Record
from mixcl_auto.records.run import Environment, FinetuneRun
from mixcl_auto.records.score import OrganScore
from mixcl_auto.records.split import DatasetSplit, Fold

PLAN = Plan.model_validate(
    {
        "datasets": [
            {
                "name": "Pool",
                "role": "pretrain",
                "labels": {"liver": 1},
                "cases": ["a", "b"],
                "left_out": {"c": "empty"},
                "fingerprint": "0123456789ab",
            },
            {
                "name": "Target",
                "role": "target",
                "labels": {"spleen": 1, "aorta": 2},
                "cases": ["a", "b", "c"],
                "fingerprint": "0123456789ab",
                "split": "0123456789ab",
            },
        ],
        "experiment": {"target_fractions": {"Target": [0.5]}, "inits": ["scratch", "mixcl", "x/y.pt"]},
        "decisions": [{"field": "f", "value": "v", "rule": "r", "reason": "s"}],
        "warnings": ["w"],
    }
)
ENVIRONMENT = Environment(mixcl_auto="0", torch="2", python="3", device="cpu", precision="fp32", threads=1)
RUN = FinetuneRun(
    dataset="Target",
    init="mixcl",
    fraction=0.5,
    fold=0,
    seed=0,
    plan=PLAN,
    status="finished",
    environment=ENVIRONMENT,
    weights=None,
    training_cases=("a",),
    held_out_cases=("b",),
    parameters=1,
    iterations=1,
)
PREDICTION = PredictionRecord(
    mixcl_auto="0",
    torch="2",
    device="cpu",
    precision="fp32",
    plan="0",
    models=(PredictingModel(run="Target/mixcl/fraction_1/fold_0/seed_0", weights_sha256="0"),),
    flips="",
    scans=("a",),
    other_scans=("b",),
)
CASE = CachedCase.model_validate(
    {
        "id": "a",
        "key": "k",
        "patient": "a",
        "shape": [4, 4, 4],
        "spacing_mm": [1, 1, 1],
        "source": {
            "size": [4, 4, 4],
            "spacing_mm": [1, 1, 1],
            "origin_mm": [0, 0, 0],
            "direction": [1, 0, 0, 0, 1, 0, 0, 0, 1],
            "orientation": "LPS",
        },
        "label_voxels": {"0": 60, "1": 4},
    }
)
RECORDS: tuple[Record, ...] = (
    RUN,
    PREDICTION,
    CASE,
    HeldOutPredictions(model_sha256="0", inference=InferencePlan(), cases=("a", "b")),
    DatasetSplit(dataset="Target", seed=0, folds=(Fold(training=("a", "b"), held_out=("c",)),)),
    Failure(attempts=1, host="h", at="2026", message="m"),
)
DATASET = {
    "name": "Pool",
    "labels": {"background": 0, "liver": 1, "spleen": 2},
    "channel_names": {"0": "CT"},
    "file_ending": ".nii.gz",
    "role": "pretrain",
    "cases": [
        {
            "id": "a",
            "image": "scans/a",
            "label": "a.nii.gz",
            "patient": "p",
            "series": "1",
            "label_flips": "j",
        },
        {"id": "b", "image": "/elsewhere/b.nii.gz", "label": "../b.nii.gz"},
    ],
}
SCORE = OrganScore(
    case="a",
    patient="p",
    organ="liver",
    label=1,
    dice=0.5,
    dice_resampled=None,
    hd95_mm=3.25,
    surface_dice=1.0,
    reference_voxels=10,
    prediction_voxels=0,
)
