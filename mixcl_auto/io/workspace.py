"""The one place that spells a path of the workspace."""

import re
from dataclasses import dataclass
from pathlib import Path

from mixcl_auto.records.experiment import WEIGHTS_SUFFIXES as WEIGHTS_SUFFIXES
from mixcl_auto.records.experiment import init_name as init_name


def fraction_name(fraction: float) -> str:
    """How a label fraction is spelt in paths: ``fraction_0.05``, ``fraction_1``."""
    return f"fraction_{fraction:g}"


def previous_checkpoint(path: Path) -> Path:
    """Where the checkpoint before ``path`` is kept: ``checkpoint.previous.pt``."""
    return path.with_name(f"{path.stem}.previous{path.suffix}")


@dataclass(frozen=True)
class RunFolder:
    """What every training run writes."""

    path: Path

    @property
    def run(self) -> Path:
        """The run's record with the plan as used."""
        return self.path / "run.json"

    @property
    def checkpoint(self) -> Path:
        """The training state to resume from."""
        return self.path / "checkpoint.pt"

    @property
    def log(self) -> Path:
        """Losses, one row per step."""
        return self.path / "log.csv"

    @property
    def timing(self) -> Path:
        """Rates and waiting, apart from the log, which is the same for the same seed."""
        return self.path / "timing.csv"

    @property
    def curves(self) -> Path:
        """The log as a picture."""
        return self.path / "progress.png"

    @property
    def events(self) -> Path:
        """The log for TensorBoard, where it was asked for."""
        return self.path / "tensorboard"

    @property
    def lock(self) -> Path:
        """Held by the process that works on the run; what it holds says who that is, or was last."""
        return self.path / "run.lock"

    @property
    def output(self) -> Path:
        """What the commands of ``experiment`` said, one attempt after the other."""
        return self.path / "run.log"

    @property
    def failed_step(self) -> Path:
        """A step that was not finite, to be repeated; removed once the run has passed it."""
        return self.path / "non_finite_step.pt"

    @property
    def failure(self) -> Path:
        """Why ``experiment`` gave the run up; removed when it is tried again."""
        return self.path / "failed.json"


@dataclass(frozen=True)
class PretrainFolder(RunFolder):
    """``results/<plan>/pretrain/<name>``."""

    @property
    def plan(self) -> Path:
        """The plan as used, with edits."""
        return self.path / "plan.json"

    @property
    def encoder(self) -> Path:
        """The final encoder, named as MONAI names it."""
        return self.path / "encoder.safetensors"


@dataclass(frozen=True)
class FinetuneFolder(RunFolder):
    """``results/<plan>/finetune/<Dataset>/<init>/fraction_f/fold_k/seed_s``."""

    @property
    def weights(self) -> Path:
        """The final network."""
        return self.path / "model.safetensors"

    @property
    def predictions(self) -> Path:
        """Label maps of the held-out cases, each on its source grid."""
        return self.path / "predictions"

    @property
    def prediction_record(self) -> Path:
        """Which cases were predicted, with which weights; a prediction of other weights counts as none."""
        return self.predictions / "done.json"

    def prediction(self, case: str) -> Path:
        """A held-out case's label map on its source grid."""
        return self.predictions / f"{case}.nii.gz"

    def resampled_prediction(self, case: str) -> Path:
        """The same on the plan's grid, where the cached reference is."""
        return self.predictions / "resampled" / f"{case}.nii.gz"

    @property
    def scores(self) -> Path:
        """One row per held-out case and organ; its presence means that the run is finished."""
        return self.path / "scores.csv"

    def scores_at(self, step: int) -> Path:
        """The same of the weights after a step on the way, where the plan asks for it."""
        return self.path / f"scores_at_{step}.csv"

    def scores_on_the_way(self) -> dict[int, Path]:
        """The tables of all steps on the way that were scored, ascending."""
        found = {path.stem.removeprefix("scores_at_"): path for path in self.path.glob("scores_at_*.csv")}
        steps = sorted(int(step) for step in found if re.fullmatch("[1-9][0-9]{0,17}", step))
        return {step: found[str(step)] for step in steps}


@dataclass(frozen=True)
class ReportFolder:
    """``results/<plan>/report``."""

    path: Path

    @property
    def page(self) -> Path:
        """The HTML page."""
        return self.path / "index.html"

    @property
    def findings(self) -> Path:
        """What the runs say, in sentences."""
        return self.path / "findings.md"

    @property
    def figures(self) -> Path:
        """Pictures."""
        return self.path / "figures"

    @property
    def scores(self) -> Path:
        """The scores of all finished runs in one table."""
        return self.path / "all_scores.csv"

    def figure(self, name: str) -> Path:
        """A picture; ``name`` carries its suffix."""
        return self.figures / name

    def table(self, name: str, suffix: str) -> Path:
        """A table, such as ``table1``, as ``md``, ``csv`` or ``tex``."""
        return self.path / f"{name}.{suffix}"


@dataclass(frozen=True)
class Workspace:
    """One folder that holds a project."""

    root: Path

    @property
    def raw_data(self) -> Path:
        """The user's scans; never written to, but for the ``dataset.json`` that ``convert`` makes."""
        return self.root / "raw_data"

    def dataset_json(self, dataset: str) -> Path:
        """The description of a raw dataset."""
        return self.raw_data / dataset / "dataset.json"

    @property
    def plans(self) -> Path:
        """Plans and what they rest on."""
        return self.root / "plans"

    @property
    def validation(self) -> Path:
        """What ``validate`` found last."""
        return self.root / "validation.json"

    @property
    def preprocessed(self) -> Path:
        """The cache."""
        return self.root / "preprocessed"

    @property
    def results(self) -> Path:
        """Runs and reports."""
        return self.root / "results"

    def plan(self, name: str) -> Path:
        """The plan of that stem."""
        return self.plans / f"{name}.json"

    def fingerprint(self, dataset: str) -> Path:
        """A dataset's fingerprint."""
        return self.plans / "fingerprints" / f"{dataset}.json"

    def split(self, dataset: str) -> Path:
        """A dataset's folds."""
        return self.plans / "splits" / f"{dataset}.json"

    def cache(self, dataset: str, preprocess_hash: str) -> Path:
        """The cached cases of a dataset under one preprocess section."""
        return self.preprocessed / dataset / preprocess_hash

    def cached_case(self, dataset: str, preprocess_hash: str, case: str) -> Path:
        """The folder of one cached case."""
        return self.cache(dataset, preprocess_hash) / case

    def plan_results(self, plan: str) -> Path:
        """Everything that was run under a plan."""
        return self.results / plan

    def pretrain(self, plan: str, name: str) -> PretrainFolder:
        """One pre-training."""
        return PretrainFolder(self.plan_results(plan) / "pretrain" / name)

    def finetune(
        self, plan: str, dataset: str, init: str, fraction: float, fold: int, seed: int
    ) -> FinetuneFolder:
        """One fine-tuning."""
        folder = self.plan_results(plan) / "finetune" / dataset / init / fraction_name(fraction)
        return FinetuneFolder(folder / f"fold_{fold}" / f"seed_{seed}")

    def finetune_runs(self, plan: str) -> list[FinetuneFolder]:
        """All fine-tunings of a plan that have started, sorted by path."""
        pattern = "finetune/*/*/fraction_*/fold_*/seed_*/run.json"
        return [FinetuneFolder(run.parent) for run in sorted(self.plan_results(plan).glob(pattern))]

    def pretrain_runs(self, plan: str) -> list[PretrainFolder]:
        """All pre-trainings of a plan that have started, sorted by name."""
        return [
            PretrainFolder(run.parent) for run in sorted(self.plan_results(plan).glob("pretrain/*/run.json"))
        ]

    def probe(self, plan: str, dataset: str, fold: int, init: str) -> Path:
        """What a linear probe found in an encoder."""
        return self.plan_results(plan) / "probe" / dataset / f"fold_{fold}" / f"{init}.json"

    def probes(self, plan: str) -> list[Path]:
        """All results of probes under a plan, sorted by path."""
        return sorted(self.plan_results(plan).glob("probe/*/fold_*/*.json"))

    def report(self, plan: str) -> ReportFolder:
        """The report on a plan."""
        return ReportFolder(self.plan_results(plan) / "report")
