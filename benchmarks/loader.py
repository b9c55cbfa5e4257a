"""A pre-training pair of 96^3 patches: what it costs the loader, and whether the network ever waits for it.

Two phantom scans are preprocessed into a temporary workspace, and `mixcl_auto.benchmark` measures the plan of
the preset on them: draws in this process on one core, then a short real run with loader workers.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import mixcl_auto
from benchmarks.measure import Row, finish, limit_row, parser
from benchmarks.phantom_volumes import ORGANS, write_phantom

SHAPES = ((512, 512, 150), (512, 512, 130))
SAMPLE_LIMIT_MS, WAITING_LIMIT_PERCENT = 120, 5


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    options = parser(__doc__)
    options.add_argument("--preset", default="balanced", help="paper, balanced or tiny")
    options.add_argument("--patch", type=int, default=96, help="side in voxels")
    options.add_argument("--batch", type=int, default=1, help="samples")
    options.add_argument("--workers", type=int, default=1, help="loader processes")
    options.add_argument("--steps", type=int, default=4, help="of the short run")
    options.add_argument("--device", default=None, help="such as cuda:0; a GPU if there is one, if absent")
    chosen = options.parse_args(arguments)
    edits = [
        f"network.patch_size={[chosen.patch] * 3}",
        f"pretrain.batch_size={chosen.batch}",
        f"pretrain.workers={chosen.workers}",
        *([f"pretrain.threads={chosen.threads}"] if chosen.threads else []),
    ]
    with TemporaryDirectory() as folder:
        write_pool(Path(folder))
        mixcl_auto.plan_and_preprocess(folder, preset=chosen.preset, edits=edits, jobs=1)
        (figures,) = mixcl_auto.benchmark(folder, stage="pretrain", steps=chosen.steps, device=chosen.device)
    what = f"{chosen.patch}^3, batch {chosen.batch}, {chosen.workers} worker(s), {figures.device}"
    rows = [
        limit_row(
            "one pair with its three views, one core",
            figures.sample_cpu_s * 1e3,
            "ms",
            at_most=SAMPLE_LIMIT_MS,
        ),
        limit_row(
            f"waiting for the loader, {what}",
            figures.waiting_share * 100,
            "% of a run's time",
            at_most=WAITING_LIMIT_PERCENT,
        ),
        Row("a step of that run, optimiser included", f"{figures.run_step_s:.3g} s"),
        Row("pairs per second that 8 workers deliver, a core each", f"{8 / figures.sample_cpu_s:.0f}"),
    ]
    finish(f"Loader, {chosen.preset}", rows, chosen.json)


def write_pool(folder: Path) -> None:
    """Raw data of one dataset with a phantom scan of each shape."""
    dataset = folder / "raw_data" / "Phantoms"
    cases = []
    for shape in SHAPES:
        image, label = write_phantom(dataset / f"slices_{shape[2]}", shape, noise_hu=12.0)
        files = {"image": str(image.relative_to(dataset)), "label": str(label.relative_to(dataset))}
        cases.append({"id": f"slices_{shape[2]}", "patient": f"slices_{shape[2]}", **files})
    document = {
        "role": "pretrain",
        "channel_names": {"0": "CT"},
        "labels": {"background": 0, **{organ: value for value, organ in enumerate(ORGANS, start=1)}},
        "file_ending": ".nii.gz",
        "cases": cases,
    }
    (dataset / "dataset.json").write_text(json.dumps(document), encoding="utf-8")


if __name__ == "__main__":
    main()
