import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from cached_phantoms import edited

from mixcl_auto.errors import RunError
from mixcl_auto.io.checkpoints import load_weights, weights_metadata
from mixcl_auto.io.files import file_sha256
from mixcl_auto.io.runs import read_pretrain_run
from mixcl_auto.io.workspace import PretrainFolder, Workspace
from mixcl_auto.networks.initialise import initialise
from mixcl_auto.pretraining.mixcl import build_mixcl_network
from mixcl_auto.pretraining.pretrain import pretrain
from mixcl_auto.records.plan import Plan

Cached = tuple[Workspace, Plan]


def read_log(folder: PretrainFolder) -> list[dict[str, str]]:
    with folder.log.open() as file:
        return list(csv.DictReader(file))


def assert_same_result(first: PretrainFolder, second: PretrainFolder) -> None:
    assert first.log.read_bytes() == second.log.read_bytes()
    one, two = load_weights(first.encoder), load_weights(second.encoder)
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.fixture(scope="module")
def finished(shared_cache: Cached) -> tuple[Workspace, Plan, PretrainFolder]:
    """One finished run that several tests look at."""
    workspace, plan = shared_cache
    return workspace, plan, pretrain(workspace, plan, "plan", name="reference", device="cpu")


Finished = tuple[Workspace, Plan, PretrainFolder]


def test_finished_run_leaves_every_file(finished: Finished) -> None:
    _, plan, folder = finished
    run = read_pretrain_run(folder)
    assert (run.name, run.status, run.iterations) == ("reference", "finished", 5)
    assert run.plan == plan
    assert run.encoder_sha256 == file_sha256(folder.encoder)
    assert Plan.model_validate_json(folder.plan.read_text()) == plan
    names = {path.name for path in folder.path.iterdir()}
    tables = {"run.json", "plan.json", "log.csv", "timing.csv"}
    assert names == tables | {"checkpoint.pt", "encoder.safetensors", "progress.png"}


def test_log_has_every_term_and_shares_that_add_up(finished: Finished) -> None:
    rows = read_log(finished[2])
    assert [row["step"] for row in rows] == ["1", "2", "3", "4", "5"]
    for row in rows:
        levels = [float(row[f"identity_level_{level}"]) for level in range(5)]
        assert float(row["identity"]) == pytest.approx(sum(levels), rel=1e-5)
        total = sum(float(row[name]) for name in ("identity", "label", "reconstruction"))
        assert float(row["total"]) == pytest.approx(total, rel=1e-5)
        skipped = [row[f"label_skipped_level_{level}"] for level in range(5)]
        by_level = {level: float(share) for level, share in enumerate(skipped) if share}
        assert tuple(by_level) == finished[1].pretrain.label_level
        assert all(0 <= share <= 1 for share in by_level.values())
        assert (row["label_chance"] == "") == (set(by_level.values()) == {1})
        assert float(row["gradient_norm"]) > 0
        assert all(float(row[f"identity_diagonal_level_{level}"]) >= 0 for level in range(5))
    names = ("gradient_share_identity", "gradient_share_label", "gradient_share_reconstruction")
    assert [row[names[0]] != "" for row in rows] == [True, False, True, False, True]
    for row in rows[::2]:
        assert sum(float(row[name]) for name in names) == pytest.approx(1, abs=1e-5)


INDICATORS = ("effective_rank", "channel_spread")


def test_log_has_the_rank_and_spread_of_every_level_where_gradients_are_measured(finished: Finished) -> None:
    for number, row in enumerate(read_log(finished[2])):
        cells = [row[f"{name}_level_{level}"] for name in INDICATORS for level in range(5)]
        assert all(cell != "" for cell in cells) if number % 2 == 0 else cells == [""] * 10
        assert all(0 < float(cell) <= 1 for cell in cells if cell)


def test_measuring_changes_no_result(finished: Finished) -> None:
    workspace, plan, folder = finished
    never = edited(plan, "pretrain", gradient_every=0)
    other = pretrain(workspace, never, "plan", name="unmeasured", device="cpu")
    assert load_weights(other.encoder).keys() == load_weights(folder.encoder).keys()
    pairs = zip(load_weights(other.encoder).values(), load_weights(folder.encoder).values(), strict=True)
    assert all(torch.equal(one, two) for one, two in pairs)
    assert all(row["effective_rank_level_0"] == "" for row in read_log(other))


def test_unfinished_run_whose_log_lacks_the_columns_is_refused_and_kept(shared_cache: Cached) -> None:
    """As a run that an earlier version began."""
    workspace, plan = shared_cache
    folder = pretrain(workspace, plan, "plan", name="earlier", device="cpu", stop_after=3)
    rows = read_log(folder)
    kept = [name for name in rows[0] if not name.startswith(INDICATORS)]
    lines = [",".join(row[name] for name in kept) for row in rows]
    folder.log.write_text("\n".join([",".join(kept), *lines]) + "\n")
    before = folder.log.read_bytes()
    with pytest.raises(RunError, match=r"started by another version: start it again under another name"):
        pretrain(workspace, plan, "plan", name="earlier", device="cpu")
    assert folder.log.read_bytes() == before
    assert read_pretrain_run(folder).status == "running"


def test_encoder_file_holds_the_trained_encoder_and_says_what_it_is(finished: Finished) -> None:
    _, plan, folder = finished
    weights = load_weights(folder.encoder)
    fresh = initialise(lambda: build_mixcl_network(plan), plan.pretrain.seed).backbone.encoder_state_dict()
    assert weights.keys() == fresh.keys()
    assert not any(name.startswith(("decoder", "out", "projectors")) for name in weights)
    moved = [name for name in weights if not torch.equal(weights[name], fresh[name])]
    assert len(moved) > 0.8 * len(weights)
    metadata = weights_metadata(folder.encoder)
    assert json.loads(metadata["spacing_mm"]) == [1.5, 1.5, 2.0]
    assert json.loads(metadata["window_hu"]) == [-150, 250]
    assert json.loads(metadata["patch_size"]) == [32, 32, 32]
    assert list(json.loads(metadata["position_grids"]).values()) == [[2, 2, 2]]
    assert json.loads(metadata["network"])["hidden_size"] == 24


def test_same_seed_gives_the_same_log_and_weights_with_any_number_of_workers(finished: Finished) -> None:
    workspace, plan, folder = finished
    for workers in (0, 2):
        other = edited(plan, "pretrain", workers=workers)
        again = pretrain(workspace, other, "plan", name=f"workers_{workers}", device="cpu")
        assert_same_result(folder, again)


def test_other_seed_gives_another_encoder(finished: Finished) -> None:
    workspace, plan, folder = finished
    other = pretrain(workspace, edited(plan, "pretrain", seed=1), "plan", name="seed_1", device="cpu")
    assert folder.log.read_bytes() != other.log.read_bytes()


def test_stopped_and_resumed_run_equals_the_uninterrupted_one(finished: Finished) -> None:
    workspace, plan, folder = finished
    parts = pretrain(workspace, plan, "plan", name="parts", device="cpu", stop_after=2)
    assert read_pretrain_run(parts).status == "running"
    assert not parts.encoder.exists()
    pretrain(workspace, plan, "plan", name="parts", device="cpu")
    assert_same_result(folder, parts)


def test_bf16_run_resumes_exactly(shared_cache: Cached) -> None:
    workspace, plan = shared_cache
    half = edited(plan, "pretrain", precision="bf16", iterations=2)
    whole = pretrain(workspace, half, "plan", name="bf16_whole", device="cpu")
    pretrain(workspace, half, "plan", name="bf16_parts", device="cpu", stop_after=1)
    assert_same_result(whole, pretrain(workspace, half, "plan", name="bf16_parts", device="cpu"))
    assert read_pretrain_run(whole).environment.precision == "bf16"


def test_finished_run_is_left_as_it_is(finished: Finished) -> None:
    workspace, plan, folder = finished
    before = {path.name: path.stat().st_mtime_ns for path in folder.path.iterdir()}
    faster = edited(plan, "pretrain", workers=1, checkpoint_every=50)
    assert pretrain(workspace, faster, "plan", name="reference") == folder
    assert {path.name: path.stat().st_mtime_ns for path in folder.path.iterdir()} == before


def test_finished_run_needs_neither_cache_nor_checkpoint(cached: Cached) -> None:
    workspace, plan = cached
    short = edited(plan, "pretrain", iterations=1)
    folder = pretrain(workspace, short, "plan", device="cpu")
    folder.checkpoint.unlink()
    workspace.preprocessed.rename(workspace.root / "elsewhere")
    assert pretrain(workspace, short, "plan", device="cpu") == folder


def test_lost_encoder_is_written_again_from_the_checkpoint_and_else_asked_for(cached: Cached) -> None:
    workspace, plan = cached
    short = edited(plan, "pretrain", iterations=1)
    folder = pretrain(workspace, short, "plan", device="cpu")
    before, log = folder.encoder.read_bytes(), folder.log.read_bytes()
    folder.encoder.unlink()
    pretrain(workspace, short, "plan", device="cpu")
    assert (folder.encoder.read_bytes(), folder.log.read_bytes()) == (before, log)
    folder.encoder.unlink()
    folder.checkpoint.unlink()
    with pytest.raises(RunError, match=r"encoder.safetensors and checkpoint.pt are gone; put one of them"):
        pretrain(workspace, short, "plan", device="cpu")


def test_run_of_another_plan_is_refused_with_the_differing_fields(finished: Finished) -> None:
    workspace, plan, _ = finished
    other = edited(edited(plan, "pretrain", label_weight=0.5), "network", feature_size=8)
    with pytest.raises(RunError) as caught:
        pretrain(workspace, other, "plan", name="reference")
    message = str(caught.value)
    assert "network.feature_size: 4 and 8" in message
    assert "pretrain.label_weight: 1.0 and 0.5" in message
    assert "--name" in message


@pytest.mark.parametrize("term", ["identity", "label", "reconstruction"])
def test_term_left_out_has_empty_columns_and_no_gradient_share(shared_cache: Cached, term: str) -> None:
    workspace, plan = shared_cache
    without = edited(plan, "pretrain", without=(term,), iterations=1)
    folder = pretrain(workspace, without, "plan", name=f"without_{term}", device="cpu")
    (row,) = read_log(folder)
    assert row[term] == ""
    assert row[f"gradient_share_{term}"] == ""
    embedded = {"identity": "1"}.get(term, "01234")  # the label term embeds its own level alone
    assert [n for n in "01234" if row[f"effective_rank_level_{n}"]] == list(embedded)
    others = {"identity", "label", "reconstruction"} - {term}
    assert float(row["total"]) == pytest.approx(sum(float(row[name]) for name in others), rel=1e-5)
    assert sum(float(row[f"gradient_share_{name}"]) for name in others) == pytest.approx(1, abs=1e-5)


def test_one_term_alone_trains(shared_cache: Cached) -> None:
    workspace, plan = shared_cache
    alone = edited(plan, "pretrain", without=("identity", "reconstruction"), iterations=2)
    folder = pretrain(workspace, alone, "plan", name="label_alone", device="cpu")
    assert read_pretrain_run(folder).status == "finished"
    assert all(row["label"] != "" for row in read_log(folder))


def test_epochs_count_passes_over_the_pool(shared_cache: Cached) -> None:
    workspace, plan = shared_cache
    # 4 cases in batches of 3 are 2 steps per epoch.
    epochs = edited(plan, "pretrain", iterations=None, epochs=2, batch_size=3)
    folder = pretrain(workspace, epochs, "plan", name="epochs", device="cpu", stop_after=1)
    assert read_pretrain_run(folder).iterations == 4


def test_missing_cache_asks_for_preprocessing(tmp_path: Path, shared_cache: Cached) -> None:
    with pytest.raises(RunError, match=r"Liver: 3 of 3 cases are not in the cache .*plan_and_preprocess"):
        pretrain(Workspace(tmp_path), shared_cache[1], "plan")


@pytest.mark.parametrize("name", ["scratch", "scratch-2", "Scratch-2", "a/b", "..", "", "with space", "x.pt"])
def test_name_that_init_could_not_take_is_refused(shared_cache: Cached, name: str) -> None:
    with pytest.raises(RunError, match="a pre-training can't be called"):
        pretrain(*shared_cache, "plan", name=name)


def test_exploding_run_stops_with_terms_and_cases(shared_cache: Cached) -> None:
    workspace, plan = shared_cache
    explosive = edited(plan, "pretrain", learning_rate=1e30, iterations=20)
    with pytest.raises(RunError, match=r"step \d+ is not finite \(.*\); cases of its batch: (Liver|Kidney)/"):
        pretrain(workspace, explosive, "plan", name="explosive", device="cpu")


STOPPABLE = """
import sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from cached_phantoms import edited
from mixcl_auto.errors import RunError
from mixcl_auto.io.workspace import Workspace
from mixcl_auto.pretraining.pretrain import pretrain
from mixcl_auto.records.plan import Plan

workspace = Workspace(Path({root!r}))
plan = Plan.model_validate_json((workspace.root / "plan.json").read_text())
try:
    pretrain(workspace, plan, "plan", name="stopped", device="cpu")
except RunError as problem:
    sys.exit(str(problem))
"""


def test_sigterm_to_the_process_group_saves_and_the_run_goes_on(cached: Cached, tmp_path: Path) -> None:
    workspace, plan = cached
    long = edited(plan, "pretrain", iterations=400, batch_size=1, checkpoint_every=1000, workers=1)
    (workspace.root / "plan.json").write_text(long.to_json())
    script = STOPPABLE.format(tests=str(Path(__file__).parents[1]), root=str(workspace.root))
    process = subprocess.Popen(
        [sys.executable, "-c", script], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    folder = workspace.pretrain("plan", "stopped")
    until = time.monotonic() + 90
    while not (folder.log.exists() and len(folder.log.read_text().splitlines()) > 3):
        assert process.poll() is None, process.stderr and process.stderr.read()
        assert time.monotonic() < until
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGTERM)
    _, message = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "SIGTERM stopped the run after step" in message
    done = len(read_log(folder))
    pretrain(workspace, long, "plan", name="stopped", device="cpu", stop_after=1)
    whole = pretrain(workspace, long, "plan", name="whole", device="cpu", stop_after=done + 1)
    assert folder.log.read_bytes() == whole.log.read_bytes()


def test_losses_go_down(shared_cache: Cached) -> None:
    workspace, plan = shared_cache
    longer = edited(plan, "pretrain", iterations=16, learning_rate=5e-3)
    rows = read_log(pretrain(workspace, longer, "plan", name="longer", device="cpu"))
    for name, ratio in (("total", 0.97), ("identity", 0.95), ("reconstruction", 0.6)):
        values = [float(row[name]) for row in rows]
        assert sum(values[-4:]) < ratio * sum(values[:4]), name
