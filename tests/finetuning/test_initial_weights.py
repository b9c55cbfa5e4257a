import json
from pathlib import Path

import pytest
import torch
from cached_phantoms import TARGET, edited

from mixcl_auto.errors import RunError, WeightsError
from mixcl_auto.finetuning.finetune import finetune
from mixcl_auto.finetuning.initial_weights import (
    Init,
    find_init,
    find_pretraining,
    load_init,
    start_network,
)
from mixcl_auto.finetuning.weights_notes import read_notes
from mixcl_auto.io.checkpoints import save_weights
from mixcl_auto.io.files import file_sha256, write_text
from mixcl_auto.io.runs import read_finetune_run
from mixcl_auto.io.workspace import Workspace
from mixcl_auto.networks.backbone import Backbone
from mixcl_auto.networks.initialise import initialise
from mixcl_auto.pretraining.encoder_file import write_encoder
from mixcl_auto.records.plan import Plan
from mixcl_auto.records.run import Environment, PretrainRun
from mixcl_auto.training.networks import build_network

Cached = tuple[Workspace, Plan]
VOXELS = [900, 50, 50, 0]


def put_pretraining(
    cached: Cached, name: str, *, status: str = "finished", without: tuple[str, ...] = ()
) -> Path:
    """A pre-training as it lies on the disk, its encoder drawn from seed 99."""
    workspace, plan = cached
    folder = workspace.pretrain("plan", name)
    network = initialise(lambda: build_network(plan.network, out_channels=1), 99)
    save_weights(folder.encoder, network.encoder_state_dict(), {})
    environment = Environment(
        mixcl_auto="0", torch="0", python="0", device="cpu", precision="fp32", threads=1
    )
    run = PretrainRun(
        name=name,
        plan=edited(plan, "pretrain", without=without),
        status=status,
        environment=environment,
        parameters=1,
        iterations=1,
        encoder_sha256=file_sha256(folder.encoder) if status == "finished" else None,
    )
    write_text(folder.run, run.to_json())
    return folder.encoder


def start(plan: Plan, init: Init) -> Backbone:
    return start_network(plan, init, fold=0, class_count=4, label_voxels=VOXELS)[0]


def test_every_fold_draws_its_own_weights_which_its_arms_share(cached: Cached) -> None:
    workspace, plan = cached
    put_pretraining(cached, "mixcl")
    networks = {
        (name, fold): start_network(
            plan, find_init(workspace, "plan", name), fold=fold, class_count=4, label_voxels=VOXELS
        )[0]
        for name in ("scratch", "mixcl", "scratch-2")
        for fold in (0, 1)
    }
    decoders = {
        key: {n: t for n, t in network.state_dict().items() if not network.is_encoder_key(n) and t.ndim > 1}
        for key, network in networks.items()
    }

    def equal(first: tuple[str, int], second: tuple[str, int]) -> bool:
        return any(torch.equal(tensor, decoders[second][name]) for name, tensor in decoders[first].items())

    assert equal(("scratch", 0), ("mixcl", 0))
    assert equal(("scratch", 1), ("mixcl", 1))
    drawn = [(name, fold) for name in ("scratch", "scratch-2") for fold in (0, 1)]
    assert not any(equal(one, two) for one in drawn for two in drawn if one < two)


def differing(first: Backbone, second: Backbone) -> set[str]:
    one, two = first.state_dict(), second.state_dict()
    return {name for name in one if not torch.equal(one[name], two[name])}


@pytest.mark.parametrize("bias", ["default", "log_frequency"])
def test_pretrained_arm_differs_from_scratch_in_the_encoder_alone(cached: Cached, bias: str) -> None:
    workspace, plan = cached
    put_pretraining(cached, "mixcl")
    plan = edited(plan, "finetune", output_bias=bias)
    scratch = start(plan, find_init(workspace, "plan", "scratch"))
    loaded = start(plan, find_init(workspace, "plan", "mixcl"))
    found = differing(scratch, loaded)
    assert found
    assert all(scratch.is_encoder_key(name) for name in found)
    source = initialise(lambda: build_network(plan.network, out_channels=1), 99)
    assert all(not source.is_encoder_key(name) for name in differing_shared(loaded, source))


def differing_shared(first: Backbone, second: Backbone) -> set[str]:
    one, two = first.state_dict(), second.state_dict()
    return {n for n in one if one[n].shape != two[n].shape or not torch.equal(one[n], two[n])}


def test_a_pre_training_that_saw_the_target_is_told_though_the_plan_was_made_anew(
    cached: Cached, caplog: pytest.LogCaptureFixture
) -> None:
    workspace, plan = cached
    target = plan.dataset(TARGET)
    both = target.model_copy(update={"role": "both"})
    datasets = tuple(both if dataset is target else dataset for dataset in plan.datasets)
    put_pretraining((workspace, plan.model_copy(update={"datasets": datasets})), "seen")
    put_pretraining(cached, "unseen")
    short = edited(plan, "finetune", iterations=1)
    told = []
    for name in ("seen", "unseen"):
        caplog.clear()
        finetune(workspace, short, "plan", dataset=TARGET, fold=0, fraction=1.0, init=name, device="cpu")
        told.append(f"{TARGET} was in the pool of the pre-training {name}" in caplog.text)
    assert told == [True, False]


def test_loaded_parameters_are_reported_exactly(cached: Cached, caplog: pytest.LogCaptureFixture) -> None:
    workspace, plan = cached
    encoder = put_pretraining(cached, "mixcl")
    with caplog.at_level("INFO"):
        network, loaded = start_network(
            plan, find_init(workspace, "plan", "mixcl"), fold=0, class_count=4, label_voxels=VOXELS
        )
    assert loaded is not None
    assert set(loaded.loaded) == set(network.encoder_state_dict())
    assert (loaded.source, loaded.sha256) == ("mixcl", file_sha256(encoder))
    assert (loaded.interpolated, loaded.ignored) == ((), ())
    count = len(loaded.loaded)
    assert f"loaded {count} of {count} encoder tensors from {encoder}" in caplog.text


@pytest.mark.parametrize("method", ["mixcl", "supervised"])
@pytest.mark.parametrize("hand_on", [True, False])
def test_level_0_starts_random_where_mixcl_does_not_hand_it_on(
    cached: Cached, tmp_path: Path, method: str, hand_on: bool
) -> None:
    workspace, plan = cached
    plan = edited(plan, "pretrain", hand_on_level_0=hand_on, method=method)
    source = initialise(lambda: build_network(plan.network, out_channels=1), 99)
    file = tmp_path / "encoder.safetensors"
    write_encoder(file, source, plan, name="encoder")
    init = find_init(workspace, "plan", str(file))
    network, loaded = start_network(plan, init, fold=0, class_count=4, label_voxels=VOXELS)
    scratch = start(plan, find_init(workspace, "plan", "scratch"))
    fresh = set() if hand_on or method == "supervised" else network.own_tensors(0)
    assert loaded is not None
    assert set(loaded.ignored) == fresh
    assert set(loaded.loaded) == network.encoder_state_dict().keys() - fresh
    for name, tensor in network.encoder_state_dict().items():
        assert torch.equal(tensor, (scratch if name in fresh else source).state_dict()[name]), name
    whole = start(plan, find_init(workspace, "plan", "scratch"))
    load_init(whole, init, plan)
    assert all(
        torch.equal(tensor, source.state_dict()[n]) for n, tensor in whole.encoder_state_dict().items()
    )


def test_weights_file_of_a_whole_network_gives_its_encoder(cached: Cached, tmp_path: Path) -> None:
    workspace, plan = cached
    whole = initialise(lambda: build_network(plan.network, out_channels=7), 3)
    file = tmp_path / "other_lab.safetensors"
    save_weights(file, whole.state_dict(), {})
    init = find_init(workspace, "plan", str(file))
    assert init.name == "other_lab"
    network, loaded = start_network(plan, init, fold=0, class_count=4, label_voxels=VOXELS)
    assert all(not network.is_encoder_key(name) for name in differing_shared(network, whole))
    assert loaded is not None
    assert loaded.source == str(file)
    assert all(name.startswith(("decoder", "out")) for name in loaded.ignored)
    assert loaded.ignored


def test_poor_match_is_refused(cached: Cached) -> None:
    workspace, plan = cached
    put_pretraining(cached, "mixcl")
    with pytest.raises(WeightsError, match="the weights do not fit this encoder"):
        start(edited(plan, "network", feature_size=8), find_init(workspace, "plan", "mixcl"))


def test_other_number_of_heads_is_refused_though_all_shapes_agree(cached: Cached, tmp_path: Path) -> None:
    _, plan = cached
    file = tmp_path / "encoder.safetensors"
    network = initialise(lambda: build_network(plan.network, out_channels=1), 3)
    write_encoder(file, network, plan, name="mixcl")
    init = Init("mixcl", file, file_sha256(file))
    start(plan, init)
    with pytest.raises(WeightsError, match=r"trained with 2 attention heads, network\.heads is 4"):
        start(edited(plan, "network", heads=4), init)


def test_other_grid_and_window_are_told_of(
    cached: Cached, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _, plan = cached
    file = tmp_path / "encoder.safetensors"
    network = initialise(lambda: build_network(plan.network, out_channels=1), 3)
    write_encoder(file, network, edited(plan, "preprocess", spacing_mm=(3.0, 3.0, 3.0)), name="mixcl")
    start(plan, Init("mixcl", file, file_sha256(file)))
    assert "pre-trained at spacing_mm [3.0, 3.0, 3.0], the plan has [1.5, 1.5, 2.0]" in caplog.text
    assert "window_hu" not in caplog.text


def test_other_patch_size_is_interpolated_from_the_grid_in_the_metadata(
    cached: Cached, tmp_path: Path
) -> None:
    _, plan = cached
    flat = edited(plan, "network", patch_size=(64, 32, 16))
    source = initialise(lambda: build_network(flat.network, out_channels=1), 3)
    file = tmp_path / "flat.safetensors"
    grids = {name: list(grid) for name, grid in source.position_grids.items()}
    notes = {"format": "mixcl_auto encoder 1", "network": "{}", "position_grids": json.dumps(grids)}
    save_weights(file, source.encoder_state_dict(), notes)
    other = edited(plan, "network", patch_size=(32, 32, 32))
    init = Init("flat", file, file_sha256(file))
    _, loaded = start_network(other, init, fold=0, class_count=4, label_voxels=VOXELS)
    assert loaded is not None
    assert loaded.interpolated == tuple(source.position_grids)


def test_output_bias_follows_the_plan_in_every_arm(cached: Cached) -> None:
    workspace, plan = cached
    scratch = find_init(workspace, "plan", "scratch")
    logs = start(edited(plan, "finetune", output_bias="log_frequency"), scratch).output_bias()
    assert torch.softmax(logs.detach(), 0).numpy() == pytest.approx([0.9, 0.05, 0.05, 0], abs=1e-5)
    plain = start(edited(plan, "finetune", output_bias="default"), scratch).output_bias()
    assert not torch.equal(logs, plain)


def test_seed_decides_the_random_weights(cached: Cached) -> None:
    workspace, plan = cached
    scratch = find_init(workspace, "plan", "scratch")
    assert not differing(start(plan, scratch), start(plan, scratch))
    assert differing(start(plan, scratch), start(edited(plan, "finetune", seed=1), scratch))


def test_numbered_scratch_is_another_initialisation(cached: Cached) -> None:
    workspace, plan = cached
    first, second, third = (
        start(plan, find_init(workspace, "plan", name)) for name in ("scratch", "scratch-2", "scratch-3")
    )
    assert differing(first, second)
    assert differing(second, third)
    assert find_init(workspace, "plan", "scratch-2").name == "scratch-2"


@pytest.mark.parametrize("name", ["scratch-1", "scratch-0", "scratch-02", "scratch2"])
def test_other_spellings_of_scratch_are_no_pretraining(cached: Cached, name: str) -> None:
    with pytest.raises(RunError, match=f"no pre-training '{name}'"):
        find_init(cached[0], "plan", name)


def test_pretraining_brings_the_terms_that_it_left_out(cached: Cached) -> None:
    put_pretraining(cached, "no_label", without=("label",))
    assert find_init(cached[0], "plan", "no_label").without == ("label",)


def test_missing_pretraining_offers_ways_out_and_lists_those_there(cached: Cached) -> None:
    put_pretraining(cached, "other")
    with pytest.raises(RunError) as caught:
        find_init(cached[0], "plan", "mixcl")
    message = str(caught.value)
    assert "(there: other)" in message
    assert "`mixcl_auto pretrain -p plan.json`" in message
    assert "`--init scratch`" in message
    with pytest.raises(RunError, match=r"pretrain -p plan\.json --name third`"):
        find_init(cached[0], "plan", "third")


def test_unfinished_pretraining_is_refused(cached: Cached) -> None:
    put_pretraining(cached, "mixcl", status="running")
    with pytest.raises(RunError, match=r"not finished; run `mixcl_auto pretrain -p plan\.json` to go on"):
        find_init(cached[0], "plan", "mixcl")


def test_pretraining_without_its_encoder_is_refused(cached: Cached) -> None:
    put_pretraining(cached, "mixcl").unlink()
    with pytest.raises(RunError, match=r"holds no encoder\.safetensors"):
        find_init(cached[0], "plan", "mixcl")


def test_exchanged_encoder_is_refused(cached: Cached) -> None:
    encoder = put_pretraining(cached, "mixcl")
    save_weights(encoder, {"vit.x": torch.zeros(1)}, {})
    with pytest.raises(RunError, match="not the file that the pre-training wrote"):
        find_init(cached[0], "plan", "mixcl")


@pytest.mark.parametrize("name", ["scratch.pt", "Scratch.pt", "SCRATCH-2.safetensors"])
def test_weights_file_that_would_pass_for_scratch_is_refused(
    cached: Cached, tmp_path: Path, name: str
) -> None:
    file = tmp_path / name
    torch.save({}, file)
    with pytest.raises(RunError, match="taken for random weights; rename the file"):
        find_init(cached[0], "plan", str(file))


@pytest.mark.parametrize(
    "name",
    ["..safetensors", "...safetensors", "-a.pt", ".a.pt", "a\nb.pt", "a,b.pt", 'a"b.pt', "a b.pt", "ä.pt"],
)
def test_weights_file_that_cannot_name_results_is_refused(cached: Cached, tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    save_weights(file, {"a": torch.zeros(1)}, {})
    with pytest.raises(
        RunError, match=r"results are named after the file, and .* rename it: letters, digits"
    ):
        find_init(cached[0], "plan", str(file))


def test_weights_file_may_have_points_and_dashes_in_its_name(cached: Cached, tmp_path: Path) -> None:
    file = tmp_path / "3_lab-v1.2.pt"
    torch.save({}, file)
    assert find_init(cached[0], "plan", str(file)).name == "3_lab-v1.2"


def test_weights_file_with_a_damaged_description_is_refused_before_a_run_begins(
    cached: Cached, tmp_path: Path
) -> None:
    file = tmp_path / "lab.safetensors"
    save_weights(file, {"a": torch.zeros(1)}, {"format": "mixcl_auto encoder 1", "network": "[1]"})
    with pytest.raises(WeightsError, match=r"lab\.safetensors: its description can't be understood"):
        find_init(cached[0], "plan", str(file))


def test_missing_weights_file_is_an_error(cached: Cached, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"gone\.pt: no such weights file"):
        find_init(cached[0], "plan", str(tmp_path / "gone.pt"))


def test_weights_file_that_would_pass_for_a_pretraining_is_refused(cached: Cached, tmp_path: Path) -> None:
    put_pretraining(cached, "mixcl")
    file = tmp_path / "mixcl.pt"
    torch.save({}, file)
    with pytest.raises(RunError, match="taken for those of the plan's pre-training 'mixcl'"):
        find_init(cached[0], "plan", str(file))


@pytest.mark.parametrize("init", ["weights.pkl/x", "folder/mixcl", "../mixcl"])
def test_paths_that_are_no_weights_file_are_not_taken_for_names(cached: Cached, init: str) -> None:
    with pytest.raises(RunError, match=r"a weights file \(\.safetensors, \.pt, \.pth\)"):
        find_init(cached[0], "plan", init)


def test_advice_can_be_followed(cached: Cached) -> None:
    with pytest.raises(RunError) as caught:
        find_init(cached[0], "plan", "Scratch")
    assert "pretrain" not in str(caught.value).replace("pre-training", "")
    assert "`--init scratch`" in str(caught.value)


def test_misfit_names_the_file(cached: Cached, tmp_path: Path) -> None:
    workspace, plan = cached
    file = tmp_path / "lab.pt"
    torch.save({"a": torch.zeros(3)}, file)
    with pytest.raises(WeightsError, match=r"lab\.pt: the weights do not fit this encoder"):
        start(plan, find_init(workspace, "plan", str(file)))


def test_source_of_a_file_is_the_file_whatever_it_is_called(cached: Cached, tmp_path: Path) -> None:
    encoder = put_pretraining(cached, "mixcl")
    copy = tmp_path / "encoder.safetensors"
    copy.write_bytes(encoder.read_bytes())
    assert find_init(cached[0], "plan", str(copy)).source == str(copy)
    assert find_init(cached[0], "plan", "mixcl").source == "mixcl"


def test_vit_alone_leaves_the_convolutions_random_and_says_so(
    cached: Cached, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _, plan = cached
    source = initialise(lambda: build_network(plan.network, out_channels=1), 3).state_dict()
    vit = {name.removeprefix("vit."): t for name, t in source.items() if name.startswith("vit.")}
    file = tmp_path / "vit.pt"
    torch.save({"epoch": 3, "state_dict": {f"module.{name}": t for name, t in vit.items()}}, file)
    network, loaded = start_network(plan, Init("vit", file), fold=0, class_count=4, label_voxels=VOXELS)
    scratch = start(plan, Init("scratch"))
    assert loaded is not None
    assert differing(network, scratch) <= set(loaded.loaded)
    assert all(name.startswith("vit.") for name in loaded.loaded)
    assert "a ViT alone; " in caplog.text
    assert "convolutions stay random" in caplog.text


def put_bundle(root: Path, plan: Plan, documents: dict[str, object]) -> Path:
    """The model of a MONAI bundle, of a patch whose tokens form no cube."""
    flat = edited(plan, "network", patch_size=(64, 32, 48))
    model = root / "bundle" / "models" / "model.pt"
    model.parent.mkdir(parents=True)
    network = initialise(lambda: build_network(flat.network, out_channels=3), 3)
    torch.save(network.state_dict(), model)
    for name, document in documents.items():
        write_text(root / "bundle" / "configs" / name, json.dumps(document))
    return model


def image_of(*shape: object) -> dict[str, object]:
    return {"network_data_format": {"inputs": {"image": {"spatial_shape": list(shape)}}}}


EXPORT = {
    "input": {"patch_size": [64, 32, 48], "spacing_mm": [9, 9, 9], "window_hu": [-150, 250]},
    "network": {"arguments": {"num_heads": 2}},
}


@pytest.mark.parametrize("documents", [{"export.json": EXPORT}, {"metadata.json": image_of(64, 32, 48)}])
def test_model_of_a_bundle_is_interpolated_from_the_patch_that_the_bundle_names(
    cached: Cached, tmp_path: Path, documents: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    _, plan = cached
    model = put_bundle(tmp_path, plan, documents)
    network, loaded = start_network(plan, Init("model", model), fold=0, class_count=4, label_voxels=VOXELS)
    assert loaded is not None
    assert loaded.interpolated == tuple(network.position_grids)
    assert ("pre-trained at spacing_mm [9.0, 9.0, 9.0]" in caplog.text) == ("export.json" in documents)


def test_a_bundle_names_what_its_model_has_seen(cached: Cached, tmp_path: Path) -> None:
    workspace, plan = cached
    seen = {"dataset": TARGET, "pool": ["A", "B"]}
    init = find_init(
        workspace, "plan", str(put_bundle(tmp_path, plan, {"export.json": {**EXPORT, "origin": seen}}))
    )
    assert (init.dataset, init.pool) == (TARGET, ("A", "B"))


def test_heads_of_a_bundle_are_compared(cached: Cached, tmp_path: Path) -> None:
    _, plan = cached
    other = {**EXPORT, "network": {"arguments": {"num_heads": 4}}}
    model = put_bundle(tmp_path, plan, {"export.json": other})
    with pytest.raises(WeightsError, match=r"trained with 4 attention heads, network\.heads is 2"):
        start(plan, Init("model", model))


@pytest.mark.parametrize("documents", [{}, {"metadata.json": image_of("16*n", "16*n", "16*n")}])
def test_unknown_grid_that_is_no_cube_is_an_error_with_ways_out(
    cached: Cached, tmp_path: Path, documents: dict[str, object]
) -> None:
    _, plan = cached
    model = put_bundle(tmp_path, plan, documents)
    with pytest.raises(
        WeightsError, match=r"model\.pt: the 24 tokens .* set network\.patch_size to the source"
    ):
        start(plan, Init("model", model))


@pytest.mark.parametrize("text", ["{", "[]", '{"network_data_format": 3}', '{"network_data_format": {}}'])
def test_damaged_description_of_a_bundle_is_an_error(cached: Cached, tmp_path: Path, text: str) -> None:
    _, plan = cached
    model = put_bundle(tmp_path, plan, {})
    write_text(tmp_path / "bundle" / "configs" / "metadata.json", text)
    with pytest.raises(WeightsError, match=r"model\.pt: its description can't be understood"):
        start(plan, Init("model", model))


def test_weights_of_a_fine_tuned_model_tell_their_grid_by_the_network_they_name(
    cached: Cached, tmp_path: Path
) -> None:
    _, plan = cached
    flat = edited(plan, "network", patch_size=(64, 32, 48))
    network = initialise(lambda: build_network(flat.network, out_channels=3), 3)
    file = tmp_path / "tuned.safetensors"
    notes = {"format": "mixcl_auto segmenter 1", "network": flat.network.model_dump_json()}
    save_weights(file, network.state_dict(), notes)
    _, loaded = start_network(plan, Init("tuned", file), fold=0, class_count=4, label_voxels=VOXELS)
    assert loaded is not None
    assert loaded.interpolated == tuple(network.position_grids)


def test_weights_that_were_fine_tuned_on_the_target_are_told_and_recorded(
    cached: Cached, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    workspace, plan = cached
    short = edited(plan, "finetune", iterations=1)
    network = initialise(lambda: build_network(plan.network, out_channels=3), 3)
    notes = {"format": "mixcl_auto segmenter 1", "network": plan.network.model_dump_json()}
    told = {}
    for dataset in (TARGET, "Elsewhere"):
        caplog.clear()
        file = tmp_path / f"tuned_on_{dataset}.safetensors"
        save_weights(file, network.state_dict(), {**notes, "dataset": dataset})
        folder = finetune(
            workspace, short, "plan", dataset=TARGET, fold=0, fraction=1.0, init=str(file), device="cpu"
        )
        weights = read_finetune_run(folder).weights
        assert weights is not None
        assert weights.dataset == dataset
        told[dataset] = f"these weights were fine-tuned on {TARGET}" in caplog.text
    assert told == {TARGET: True, "Elsewhere": False}


def test_an_encoder_given_as_a_file_tells_the_pool_that_it_has_seen(
    cached: Cached, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    workspace, plan = cached
    both = plan.dataset(TARGET).model_copy(update={"role": "both"})
    seen = plan.model_copy(
        update={"datasets": tuple(both if one.name == TARGET else one for one in plan.datasets)}
    )
    short = edited(plan, "finetune", iterations=1)
    network = initialise(lambda: build_network(plan.network, out_channels=1), 3)
    told = {}
    for name, made in {"seen": seen, "unseen": plan}.items():
        caplog.clear()
        file = tmp_path / f"{name}.safetensors"
        write_encoder(file, network, made, name=name)
        folder = finetune(
            workspace, short, "plan", dataset=TARGET, fold=0, fraction=1.0, init=str(file), device="cpu"
        )
        told[name] = f"{TARGET} was in the pool of the pre-training {name}" in caplog.text
        weights = read_finetune_run(folder).weights
        assert weights is not None
        assert weights.pool == tuple(one.name for one in made.pool)
        assert read_notes(folder.weights).pool == weights.pool
    assert told == {"seen": True, "unseen": False}


def test_find_pretraining_offers_no_random_weights_where_these_are_no_way_out(cached: Cached) -> None:
    with pytest.raises(RunError) as caught:
        find_pretraining(cached[0], "plan", "mixcl")
    assert str(caught.value).endswith("(there: none); run `mixcl_auto pretrain -p plan.json` first")
    put_pretraining(cached, "mixcl")
    with pytest.raises(RunError, match=r"no pre-training 'scratch' \(there: mixcl\); name one of them"):
        find_pretraining(cached[0], "plan", "scratch")
    assert find_pretraining(cached[0], "plan", "mixcl").encoder.is_file()
