import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from grid_of_units import FakeEngine, finetuning, finish, pretraining

import mixcl_auto
from mixcl_auto.cli.experiment_view import print_overview
from mixcl_auto.engines.command import PARENT, PYTHON
from mixcl_auto.engines.engine import Resources
from mixcl_auto.engines.slots import Slots
from mixcl_auto.errors import PlanError, RunError
from mixcl_auto.io.files import write_text
from mixcl_auto.io.plans import read_plan, write_plan
from mixcl_auto.io.runs import read_finetune_run, read_pretrain_run
from mixcl_auto.io.workspace import FinetuneFolder, Workspace
from mixcl_auto.records.plan_edits import edit_plan
from mixcl_auto.records.run import LoadedWeights
from mixcl_auto.workflows import experiment as workflow
from mixcl_auto.workflows.experiment import CLOSING_S, choose_gpus, unit_command, unit_resources
from mixcl_auto.workflows.experiment_checks import check_before_start, check_device, check_gpus
from mixcl_auto.workflows.experiment_units import Experiment, GridUnit, open_experiment


@pytest.fixture
def edit(fresh_planned_workspace: Workspace):
    """Change the plan of a planned workspace, and open its experiment."""

    def change(*edits: str, table: str = "all"):
        path = fresh_planned_workspace.plan("plan")
        write_plan(path, edit_plan(read_plan(path), edits))
        return open_experiment(fresh_planned_workspace, None, table)

    return change


def by_name(units: tuple[GridUnit, ...]) -> dict[str, GridUnit]:
    return {unit.name: unit for unit in units}


def test_every_run_has_a_command_and_pre_trainings_come_first(edit) -> None:
    experiment = edit('experiment.inits=["scratch","supervised","mixcl"]', "experiment.fractions=[0.25]")
    units = experiment.units()
    assert [unit.name for unit in units if unit.is_pretraining] == [
        "pre-training supervised",
        "pre-training mixcl",
        "pre-training no_reconstruction",
    ]
    found = by_name(units)
    plan = str(experiment.project.workspace.plan("plan"))
    assert Path(plan).is_absolute()
    assert found["pre-training mixcl"].arguments == ("pretrain", "-p", plan)
    assert found["pre-training supervised"].arguments == ("pretrain", "-p", plan, "--method", "supervised")
    assert found["pre-training no_reconstruction"].arguments == (
        *("pretrain", "-p", plan, "--name", "no_reconstruction", "--without", "reconstruction"),
    )
    run = found["Target_Abdomen, mixcl, 25 %, fold 0, seed 0"]
    assert run.needs == "pre-training mixcl"
    assert run.steps == 6
    assert run.arguments == (
        *("finetune", "-p", plan, "-d", "Target_Abdomen", "--fold", "0", "--fraction", "0.25"),
        *("--init", "mixcl"),
    )
    assert found["Target_Abdomen, scratch, 25 %, fold 0, seed 0"].needs is None


def test_another_seed_than_the_plans_is_set_by_the_command(edit) -> None:
    units = edit("experiment.seeds=[0,3]", 'experiment.inits=["scratch"]', table="1").units()
    folds = len(units) // 2
    assert [unit.arguments[-2:] for unit in units] == [
        *folds * [("--init", "scratch")],
        *folds * [("--set", "finetune.seed=3")],
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("experiment.folds=[7]", r"no target has one of experiment.folds \(7\)"),
        ("experiment.fractions=[]", "fractions, seeds or inits are empty"),
    ],
)
def test_an_experiment_without_runs_is_refused(edit, change: str, message: str) -> None:
    with pytest.raises(PlanError, match=message):
        edit(change, table="1").units()


def test_runs_of_an_arm_are_told_apart_by_their_seeds_where_it_has_several(edit) -> None:
    units = edit(
        *("experiment.seeds=[0]", 'experiment.fraction_seeds={"0.25":[0,1]}', "experiment.folds=[0]"),
        *("experiment.fractions=[0.25,1]", 'experiment.inits=["scratch"]'),
        table="1",
    ).units()
    assert {(unit.arm[-1], unit.part) for unit in units} == {
        ("25 %", "fold 0, seed 0"),
        ("25 %", "fold 0, seed 1"),
        ("100 %", "fold 0"),
    }


def test_a_pre_training_is_not_needed_once_its_fine_tunings_are_done(edit) -> None:
    experiment = edit("experiment.fractions=[0.25]", 'experiment.inits=["mixcl"]', table="1")
    first, second = experiment.units()
    assert (first.name, second.needs) == ("pre-training mixcl", "pre-training mixcl")
    finish(second)
    assert [unit.name for unit in experiment.units()] == [second.name]


def test_a_sound_experiment_passes(edit) -> None:
    check_before_start(edit('experiment.inits=["scratch","scratch-2","supervised","mixcl"]'))


def test_every_init_that_is_not_there_is_named_before_anything_starts(edit) -> None:
    experiment = edit('experiment.inits=["supervized","by_hand","nowhere.pt"]')
    with pytest.raises(RunError) as caught:
        check_before_start(experiment)
    message = str(caught.value)
    assert "no pre-training 'supervized'" in message
    assert "no pre-training 'by_hand'" in message
    assert "nowhere.pt: no such weights file" in message


def test_two_inits_of_one_name_are_refused(edit, tmp_path: Path) -> None:
    (tmp_path / "mixcl.pt").write_bytes(b"x")
    experiment = edit(f'experiment.inits=["mixcl","{tmp_path / "mixcl.pt"}"]')
    with pytest.raises(RunError, match="several are called 'mixcl'"):
        check_before_start(experiment)


@pytest.mark.parametrize("name", ["mixcl", "no_reconstruction"])
def test_a_file_called_as_an_init_of_table_2_is_refused(edit, tmp_path: Path, name: str) -> None:
    (tmp_path / f"{name}.pt").write_bytes(b"x")
    experiment = edit(f'experiment.inits=["scratch","{tmp_path / name}.pt"]')
    with pytest.raises(RunError, match=f"several are called '{name}'"):
        check_before_start(experiment)


def test_a_case_that_is_not_in_the_cache_is_named(edit) -> None:
    experiment = edit()
    plan = experiment.project.plan
    shutil.rmtree(next((experiment.project.workspace.preprocessed / "Pool_Liver").glob("*/*")))
    with pytest.raises(RunError, match="Pool_Liver: 1 of 2 cases are not in the cache"):
        check_before_start(experiment)
    assert len(plan.pool) == 2


def test_done_runs_of_another_plan_are_refused_not_skipped(edit) -> None:
    experiment = edit("experiment.fractions=[0.25]", 'experiment.inits=["scratch"]', table="1")
    (unit,) = experiment.units()
    finish(unit)
    document = json.loads(unit.folder.run.read_text())
    plan = json.loads(experiment.project.workspace.plan("plan").read_text())
    document |= {"plan": plan, "dataset": "Target_Abdomen"}
    document["plan"]["finetune"]["seed"] = document["seed"] = 0
    unit.folder.run.write_text(json.dumps(document))
    check_before_start(experiment)
    document["plan"]["finetune"]["learning_rate"] = 0.5
    unit.folder.run.write_text(json.dumps(document))
    with pytest.raises(RunError, match=r"a run of another plan.*\n.*finetune\.learning_rate: 0\.5 and"):
        check_before_start(experiment)


def test_the_status_tells_what_the_experiment_would_refuse_from_what_is_done(edit, capsys) -> None:
    experiment = edit("experiment.fractions=[0.25,0.5]", 'experiment.inits=["scratch"]', table="1")
    plan = experiment.project.plan
    for unit, rate in zip(experiment.units(), (plan.finetune.learning_rate, 0.5), strict=True):
        assert isinstance(unit.folder, FinetuneFolder)
        finish(unit)
        used = plan.model_copy(
            update={"finetune": plan.finetune.model_copy(update={"learning_rate": rate, "seed": 0})}
        )
        run = read_finetune_run(unit.folder).model_copy(update={"plan": used, "dataset": "Target_Abdomen"})
        write_text(unit.folder.run, run.to_json())
    overview = workflow.experiment_status(experiment.project.workspace, table="1")
    assert [entry.state for entry in overview.entries] == ["done", "refused"]
    print_overview(overview)
    told = capsys.readouterr().out
    assert "1 of 2 done, 1 of another plan or encoder" in told
    assert "fraction_0.5/fold_0/seed_0 holds a run of another plan" in told
    assert "finetune.learning_rate: 0.5 and" in told


def write_pretraining(experiment: Experiment, name: str, **section: object) -> None:
    """A finished pre-training under the experiment's plan, with other fields of its section."""
    folder = experiment.project.workspace.pretrain("plan", name)
    finish(replace(pretraining(folder.path, name), folder=folder))
    plan = experiment.project.plan
    used = plan.model_copy(update={"pretrain": plan.pretrain.model_copy(update=section)})
    run = read_pretrain_run(folder).model_copy(update={"plan": used, "encoder_sha256": "new"})
    write_text(folder.run, run.to_json())


@pytest.mark.parametrize(
    ("name", "right", "wrong", "field"),
    [
        ("no_reconstruction", {"without": ("reconstruction",)}, {"without": ()}, "without"),
        ("mixcl", {}, {"without": ("reconstruction",)}, "without"),
        ("supervised", {"method": "supervised"}, {}, "method"),
    ],
)
def test_a_pre_training_that_is_not_what_its_name_says_is_refused(
    edit, name: str, right: dict, wrong: dict, field: str
) -> None:
    experiment = edit('experiment.inits=["scratch","supervised","mixcl"]')
    write_pretraining(experiment, name, **right)
    check_before_start(experiment)
    write_pretraining(experiment, name, **wrong)
    with pytest.raises(RunError, match=rf"{name} holds a run of another plan.*\n  pretrain\.{field}: "):
        check_before_start(experiment)


def test_fine_tunings_from_an_encoder_that_is_there_no_more_are_refused(edit) -> None:
    experiment = edit('experiment.inits=["scratch","mixcl"]', "experiment.fractions=[0.25]", table="1")
    write_pretraining(experiment, "mixcl")
    for unit in experiment.units():
        if isinstance(unit.folder, FinetuneFolder):
            finish(unit)
    scratch, mixcl = [unit.folder for unit in experiment.units() if isinstance(unit.folder, FinetuneFolder)]
    shared = {"plan": experiment.project.plan, "dataset": "Target_Abdomen"}
    write_text(scratch.run, read_finetune_run(scratch).model_copy(update=shared).to_json())

    def start_from(sha256: str) -> None:
        weights = LoadedWeights(source="mixcl", sha256=sha256, loaded=())
        run = read_finetune_run(mixcl).model_copy(update={**shared, "init": "mixcl", "weights": weights})
        write_text(mixcl.run, run.to_json())

    start_from("new")
    check_before_start(experiment)
    start_from("old")
    with pytest.raises(RunError, match=r"from another encoder than .*\n.*\nremove these folders") as caught:
        check_before_start(experiment)
    assert str(mixcl.path) in str(caught.value)
    assert str(scratch.path) not in str(caught.value)
    shutil.rmtree(experiment.project.workspace.pretrain("plan", "mixcl").path)
    check_before_start(experiment)


def test_fractions_of_a_target_that_is_not_there_are_refused(edit) -> None:
    with pytest.raises(PlanError, match="Elsewhere is no target"):
        check_before_start(edit('experiment.target_fractions={"Elsewhere":[0.5]}'))


@pytest.mark.parametrize(
    ("gpus", "message"),
    [
        (1.5, "below 1 .* or a whole number"),
        (4.0, "pretrain.batch_size is 2, which so many GPUs can't share"),
    ],
)
def test_gpus_that_can_not_share_a_batch_are_refused(planned_workspace: Workspace, gpus, message) -> None:
    with pytest.raises(RunError, match=message):
        check_gpus(read_plan(planned_workspace.plan("plan")), gpus)


def test_a_fraction_of_a_gpu_and_divisors_of_the_batch_are_fine(planned_workspace: Workspace) -> None:
    plan = read_plan(planned_workspace.plan("plan"))
    for gpus in (None, 0, 0.5, 1, 2):
        check_gpus(plan, gpus)


def test_a_certain_gpu_for_all_runs_is_refused(planned_workspace: Workspace) -> None:
    with pytest.raises(RunError, match="--device cuda:1: the engine gives each run its GPU"):
        mixcl_auto.experiment(planned_workspace.root, device="cuda:1")
    for device in (None, "cpu", "cuda"):
        check_device(device)


def test_gpus_decide_how_many_runs_there_are_at_once(tmp_path: Path) -> None:
    unit = pretraining(tmp_path, threads=8)
    assert unit_resources(unit, 0.0) == Resources(cpus=8)
    slots = Slots(16, devices=tuple("01234567"))
    for gpus, at_once in ((0.5, 16), (1.0, 8), (2.0, 4)):
        assert slots.capacity(unit_resources(unit, gpus)) == at_once
    assert unit_resources(unit, 2.0).cpus == 2


def test_runs_get_the_time_to_save_their_state_whatever_ends_the_experiment(
    edit, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Recording(FakeEngine):
        def close(self, patience_s: float = 30.0) -> None:
            patience.append(patience_s)

        def wait(self, seconds: float | None = None) -> None:
            raise OSError("the engine broke")

    patience: list[float] = []
    root = edit('experiment.inits=["scratch"]', table="1").project.workspace.root
    monkeypatch.setattr(workflow, "open_engine", lambda *names, **options: Recording(lambda name: None))
    with pytest.raises(OSError, match="the engine broke"):
        workflow.experiment(root, table="1")
    assert patience[0] == CLOSING_S


def test_a_unit_runs_as_a_process_tethered_to_its_starter(tmp_path: Path) -> None:
    unit = finetuning(tmp_path, 0)
    command = unit_command(Path("/ws"), unit, gpus=0.5)
    assert command.arguments == (PYTHON, "-m", "mixcl_auto", "--tethered", PARENT, "-w", "/ws", "finetune")
    assert command.log == unit.folder.path / "run.log"
    assert command.name == unit.name


def test_on_several_gpus_torchrun_is_tethered_and_its_processes_are_not(tmp_path: Path) -> None:
    arguments = unit_command(Path("/ws"), pretraining(tmp_path), gpus=2.0).arguments
    assert arguments == (
        *(PYTHON, "-m", "mixcl_auto.workflows.tethered_torchrun", PARENT, "--standalone"),
        *("--nproc-per-node", "2", "-m", "mixcl_auto", "-w", "/ws", "pretrain"),
    )


def test_runs_take_a_gpu_each_where_there_are_any() -> None:
    class Rich(FakeEngine):
        def capacity(self, resources: Resources) -> int:
            return 2

    poor, rich = FakeEngine(lambda name: None), Rich(lambda name: None)
    assert choose_gpus(poor, None, None) == 0
    assert choose_gpus(rich, None, None) == 1
    assert choose_gpus(rich, None, "cpu") == 0
    assert choose_gpus(rich, 0.5, None) == 0.5


def test_commands_that_are_left_are_given_as_a_shell_takes_them(edit) -> None:
    experiment = edit("experiment.fractions=[0.25]", 'experiment.inits=["mixcl"]', table="1")
    root = experiment.project.workspace.root
    overview, commands = mixcl_auto.experiment_commands(root, table="1", device="cpu")
    assert len(overview.of("waiting")) == 2
    assert commands[0] == f"mixcl_auto -w {root} pretrain -p {root}/plans/plan.json --device cpu"
    _, commands = mixcl_auto.experiment_commands(root, table="1", gpus_per_run=2)
    assert commands[0].startswith(
        f"torchrun --standalone --nproc-per-node 2 -m mixcl_auto -w {root} pretrain"
    )
