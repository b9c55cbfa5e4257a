import pytest
import torch

from mixcl_auto.errors import RunError
from mixcl_auto.training.device import autocast, choose_device, limited_threads, resolve_precision

CPU = torch.device("cpu")


def test_named_device_is_taken() -> None:
    assert choose_device("cpu") == CPU
    assert choose_device(CPU) == CPU


def test_default_device_is_one_that_computes() -> None:
    device = choose_device()
    assert device.type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert torch.ones(2, device=device).sum().item() == 2


def test_unknown_device_is_refused() -> None:
    with pytest.raises(RunError, match="unknown device 'gpu'; write cpu, cuda or cuda:1"):
        choose_device("gpu")


def test_device_that_trains_nothing_is_refused() -> None:
    with pytest.raises(RunError, match="cpu and cuda devices, not on meta"):
        choose_device("meta")


def test_missing_cuda_device_is_refused() -> None:
    with pytest.raises(
        RunError, match=rf"no device cuda:99: this machine has {torch.cuda.device_count()} CUDA"
    ):
        choose_device("cuda:99")


def test_given_precision_is_kept() -> None:
    assert resolve_precision("fp32", CPU) == "fp32"
    assert resolve_precision("bf16", CPU) == "bf16"


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"avx512_bf16": True}, "bf16"),
        ({"amx_bf16": True}, "bf16"),
        ({"avx512_f": True}, "fp32"),
        ({}, "fp32"),
    ],
)
def test_auto_on_a_cpu_follows_the_hardware(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], expected: str
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert resolve_precision("auto", CPU) == expected


@pytest.mark.parametrize(("capability", "expected"), [((9, 0), "bf16"), ((8, 0), "bf16"), ((7, 5), "fp16")])
def test_auto_on_a_gpu_follows_the_hardware(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], expected: str
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert resolve_precision("auto", torch.device("cuda", 0)) == expected


def test_half_precision_without_range_is_refused_on_a_cpu() -> None:
    with pytest.raises(RunError, match="fp16 needs a CUDA device; set it to auto, bf16 or fp32"):
        resolve_precision("fp16", CPU)


def test_a_patch_side_of_16_is_computed_in_fp32_on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True}, raising=False)
    assert resolve_precision("auto", CPU, (16, 96, 96)) == "fp32"
    assert resolve_precision("auto", CPU, (32, 32, 32)) == "bf16"


def test_bf16_with_a_patch_side_of_16_is_refused_on_a_cpu() -> None:
    with pytest.raises(RunError, match="can't train patches with a side of 16 on a CPU"):
        resolve_precision("bf16", CPU, (96, 96, 16))


def test_a_gpu_takes_bf16_whatever_the_patch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    assert resolve_precision("auto", torch.device("cuda", 0), (16, 16, 16)) == "bf16"


def test_unknown_precision_is_refused() -> None:
    with pytest.raises(RunError, match="unknown precision 'int8'"):
        resolve_precision("int8", CPU)


def test_autocast_computes_in_the_precision_asked_for() -> None:
    matrix = torch.ones(2, 2)
    with autocast(CPU, "bf16"):
        assert (matrix @ matrix).dtype == torch.bfloat16
    with autocast(CPU, "fp32"):
        assert (matrix @ matrix).dtype == torch.float32


def test_threads_are_limited_inside_the_block_only() -> None:
    before = torch.get_num_threads()
    with limited_threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
