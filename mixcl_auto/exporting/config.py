"""``config.json`` beside exported weights: what they are, what they need, where they come from.

Of the training data it has names of datasets, numbers of cases and hashes; never a case, patient or path.
"""

from typing import Any, Literal

from mixcl_auto import __version__
from mixcl_auto.exporting.monai_network import (
    MONAI_VIT,
    VIT_PREFIX,
    unetr_arguments,
    unetr_class,
    vit_arguments,
)
from mixcl_auto.records.plan import DatasetPlan, NetworkPlan, Plan
from mixcl_auto.records.plan_fields import SCRATCH
from mixcl_auto.records.record import Record, content_hash
from mixcl_auto.records.run import FinetuneRun, PretrainRun

FORMAT: Literal["mixcl_auto export 1"] = "mixcl_auto export 1"
Kind = Literal["encoder", "segmenter", "bundle", "onnx"]


class WeightsFile(Record):
    """The file that the configuration belongs to."""

    file: str
    sha256: str


class NetworkClass(Record):
    """A class and what its constructor takes."""

    class_path: str
    arguments: dict[str, Any]
    prefix: str = ""
    """Of the names of this network's tensors in the file."""


class NetworkInput(Record):
    """What a scan must be brought to."""

    channels: int = 1
    channel_name: str
    orientation: str = "RAS"
    """Index 0 of the array grows towards the patient's right, 1 towards anterior, 2 towards superior."""
    spacing_mm: tuple[float, float, float]
    window_hu: tuple[float, float]
    """Values outside are clipped; in the scan's own unit where it is no CT."""
    intensity_step: float
    """Clipped values are rounded to multiples of it."""
    scaled_to: tuple[float, float] = (0.0, 1.0)
    """What the window's ends become."""
    patch_size: tuple[int, int, int]
    window_overlap: float
    """Share of a window that the next one repeats; windows are blended by a Gaussian of sigma 1/8."""


class TrainingData(Record):
    """A dataset that the weights have seen."""

    dataset: str
    use: Literal["pre-training", "fine-tuning"]
    cases: int
    fingerprint: str
    """Content hash of what planning measured in it."""


class Origin(Record):
    """The training that made the weights."""

    name: str
    """Of the pre-training, or the initialisation that the fine-tuning started from."""
    method: str | None
    """Of the pre-training: ``mixcl`` or ``supervised``; ``unknown`` for weights from elsewhere, absent for
    random ones."""
    without: tuple[str, ...]
    """Terms that the pre-training left out."""
    iterations: int
    seed: int
    dataset: str | None = None
    fraction: float | None = None
    fold: int | None = None
    initial_weights_sha256: str | None = None
    pool: tuple[str, ...] = ()
    """The datasets that the encoder, or the initial weights, have seen, as far as that is known."""
    plan_hash: str
    preset: str
    mixcl_auto: str
    """The version that trained."""
    torch: str


class OnnxConversion(Record):
    """How the network became ONNX, and how well."""

    opset: int
    torch: str
    onnx: str
    onnxscript: str
    onnxruntime: str
    largest_difference: float
    """Between a logit of ONNX Runtime and of torch, on a random window."""


class ExportConfig(Record):
    """The document."""

    format: Literal["mixcl_auto export 1"] = FORMAT
    kind: Kind
    mixcl_auto: str = __version__
    """The version that exported."""
    weights: WeightsFile
    network: NetworkClass
    vit: NetworkClass
    """MONAI's ViT, for the tensors under ``vit.`` alone."""
    input: NetworkInput
    labels: dict[str, int] | None
    """Organ to output channel, the background included; absent for an encoder."""
    training_data: tuple[TrainingData, ...]
    origin: Origin
    onnx: OnnxConversion | None = None
    """Of the kind ``onnx`` alone."""


def encoder_config(run: PretrainRun, weights: WeightsFile) -> ExportConfig:
    """Describe a pre-training's encoder; as a network it is a UNETR of one output channel."""
    section = run.plan.pretrain
    return ExportConfig(
        kind="encoder",
        weights=weights,
        network=_unetr(run.plan.network, 1),
        vit=_vit(run.plan.network),
        input=_input(run.plan, run.plan.pool[0].channel_name if run.plan.pool else "CT"),
        labels=None,
        training_data=_pool(run.plan),
        origin=Origin(
            name=run.name,
            method=section.method,
            without=section.without,
            iterations=run.iterations,
            seed=section.seed,
            pool=tuple(dataset.name for dataset in run.plan.pool),
            plan_hash=content_hash(run.plan),
            preset=run.plan.preset,
            mixcl_auto=run.environment.mixcl_auto,
            torch=run.environment.torch,
        ),
    )


def segmenter_config(
    run: FinetuneRun, weights: WeightsFile, kind: Kind, onnx: OnnxConversion | None = None
) -> ExportConfig:
    """Describe a fine-tuned model."""
    dataset = run.plan.dataset(run.dataset)
    return ExportConfig(
        kind=kind,
        weights=weights,
        network=_unetr(run.plan.network, dataset.class_count),
        vit=_vit(run.plan.network),
        input=_input(run.plan, dataset.channel_name),
        labels={"background": 0, **dataset.labels},
        training_data=(_data(dataset, "fine-tuning", len(run.training_cases)), *_pool_behind(run)),
        origin=Origin(
            name=run.init,
            method=None if run.weights is None else run.method,
            without=run.without,
            iterations=run.iterations,
            seed=run.seed,
            dataset=run.dataset,
            fraction=run.fraction,
            fold=run.fold,
            initial_weights_sha256=None if run.weights is None else run.weights.sha256,
            pool=() if run.weights is None else run.weights.seen,
            plan_hash=content_hash(run.plan),
            preset=run.plan.preset,
            mixcl_auto=run.environment.mixcl_auto,
            torch=run.environment.torch,
        ),
        onnx=onnx,
    )


def _unetr(plan: NetworkPlan, classes: int) -> NetworkClass:
    return NetworkClass(class_path=unetr_class(plan), arguments=unetr_arguments(plan, classes))


def _vit(plan: NetworkPlan) -> NetworkClass:
    return NetworkClass(class_path=MONAI_VIT, arguments=vit_arguments(plan), prefix=VIT_PREFIX)


def _input(plan: Plan, channel_name: str) -> NetworkInput:
    return NetworkInput(
        channel_name=channel_name,
        spacing_mm=plan.preprocess.spacing_mm,
        window_hu=plan.preprocess.window_hu,
        intensity_step=plan.preprocess.intensity_step,
        patch_size=plan.network.patch_size,
        window_overlap=plan.inference.overlap,
    )


def _pool(plan: Plan) -> tuple[TrainingData, ...]:
    return tuple(_data(dataset, "pre-training", len(dataset.cases)) for dataset in plan.pool)


def _pool_behind(run: FinetuneRun) -> tuple[TrainingData, ...]:
    """The pool, where the initial weights are a pre-training of the plan; of a file names alone are known."""
    if run.init.startswith(SCRATCH) or run.weights is None or run.weights.source != run.init:
        return ()
    return _pool(run.plan)


def _data(dataset: DatasetPlan, use: Literal["pre-training", "fine-tuning"], cases: int) -> TrainingData:
    return TrainingData(dataset=dataset.name, use=use, cases=cases, fingerprint=dataset.fingerprint)
