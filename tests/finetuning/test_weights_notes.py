import json
from pathlib import Path

import pytest
import torch

from mixcl_auto.errors import WeightsError
from mixcl_auto.finetuning.weights_notes import WeightsNotes, read_notes
from mixcl_auto.io.checkpoints import save_weights
from mixcl_auto.io.files import write_text

ENCODER = "mixcl_auto encoder 1"
SEGMENTER = "mixcl_auto segmenter 1"
OURS = {
    "format": ENCODER,
    "method": "supervised",
    "network": json.dumps({"heads": 4, "patch_size": [96, 64, 32], "layers": 12}),
    "spacing_mm": "[1.5, 1.5, 2]",
    "window_hu": "[-150, 250]",
    "patch_size": "[96, 64, 32]",
    "position_grids": json.dumps({"positions": [6, 4, 2]}),
    "without": "[]",
}


def described(root: Path, **metadata: str) -> Path:
    file = root / "encoder.safetensors"
    save_weights(file, {"a": torch.zeros(1)}, metadata)
    return file


def bundle(root: Path, name: str, text: str) -> Path:
    write_text(root / "configs" / name, text)
    return root / "models" / "model.pt"


def test_our_own_file_tells_all(tmp_path: Path) -> None:
    assert read_notes(described(tmp_path, **OURS)) == WeightsNotes(
        heads=4,
        spacing_mm=(1.5, 1.5, 2),
        window_hu=(-150, 250),
        position_grid=(6, 4, 2),
        method="supervised",
    )
    assert not read_notes(described(tmp_path, **OURS, hands_on_level_0="false")).hands_on_level_0
    assert read_notes(described(tmp_path, **OURS, pool='["A", "B"]')).pool == ("A", "B")


@pytest.mark.parametrize("without", [("position_grids",), ("patch_size", "position_grids"), ("patch_size",)])
def test_the_grid_is_told_by_whatever_of_it_is_there(tmp_path: Path, without: tuple[str, ...]) -> None:
    metadata = {key: value for key, value in OURS.items() if key not in without}
    assert read_notes(described(tmp_path, **metadata)).position_grid == (6, 4, 2)


@pytest.mark.parametrize(
    ("metadata", "method"),
    [
        ({"format": ENCODER, "method": "mixcl"}, "mixcl"),
        ({"format": ENCODER}, "mixcl"),
        ({"format": SEGMENTER, "method": "supervised"}, "unknown"),
        ({"format": "pt", "method": "supervised"}, "unknown"),
        ({"method": "supervised"}, "unknown"),
    ],
)
def test_method_is_known_of_our_encoders_alone(tmp_path: Path, metadata: dict[str, str], method: str) -> None:
    assert read_notes(described(tmp_path, network="{}", **metadata)).method == method


def test_metadata_of_others_are_not_read(tmp_path: Path) -> None:
    others = OURS | {"format": "pt", "network": "[", "position_grids": "[[1, 2, 3]]"}
    assert read_notes(described(tmp_path, **others)) == WeightsNotes()


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        ({"network": "[1, 2, 3]"}, "network: Input should be"),
        ({"network": "null"}, "network: Input should be"),
        ({"network": "["}, "network: Invalid JSON"),
        ({"network": "[" * 200_000 + "]" * 200_000}, "network: Invalid JSON: recursion limit"),
        ({"network": json.dumps({"heads": 10**400})}, r"network\.heads: Input should be less than"),
        ({"network": '{"heads": ' + "9" * 5000 + "}"}, "network: Invalid JSON: number out of range"),
        ({"network": '{"heads": 4.5}'}, r"network\.heads: Input should be a valid integer"),
        ({"network": '{"heads": true}'}, r"network\.heads: Input should be a valid integer"),
        ({"network": '{"patch_size": "abc"}'}, r"network\.patch_size: Input should be a valid tuple"),
        ({"network": '{"patch_size": [1e300, 1, 1]}'}, r"network\.patch_size\.0: "),
        (
            {"patch_size": "[8, 8, 8]", "network": "{}", "position_grids": "{}"},
            r"position_grid\.0: .* equal to 1",
        ),
        ({"position_grids": "[[1, 2, 3]]"}, "position_grids: Input should be a valid dictionary"),
        ({"position_grids": '{"a": [-2, -2, 2]}'}, r"position_grids\.a\.0: .* equal to 1"),
        ({"position_grids": '{"a": [48, 1, 1]}'}, "the document: .* contradict each other"),
        ({"patch_size": "[64, 64, 64]"}, "the document: .* contradict each other"),
        ({"spacing_mm": "[NaN, 1, 1]"}, r"spacing_mm\.0: Input should be a finite number"),
        ({"spacing_mm": "[0, 1, 1]"}, r"spacing_mm\.0: Input should be greater than 0"),
        ({"window_hu": "3"}, "window_hu: Input should be a valid tuple"),
        ({"note": "x" * 1_000_001}, r"\d+ characters long, at most 1000000 are read"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else next(iter(value)),
)
def test_damaged_metadata_are_an_error_of_one_line(
    tmp_path: Path, edit: dict[str, str], message: str
) -> None:
    with pytest.raises(WeightsError, match=rf"can't be understood \({message}") as caught:
        read_notes(described(tmp_path, **OURS | edit))
    said = str(caught.value).removeprefix(str(tmp_path))
    assert len(said) < 300
    assert "\n" not in said


def test_names_in_hostile_metadata_are_cut(tmp_path: Path) -> None:
    edit = {"position_grids": json.dumps({"x" * 9999: [0, 1, 1]})}
    with pytest.raises(WeightsError, match=r"\(position_grids\.x{65}: Input"):
        read_notes(described(tmp_path, **OURS | edit))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("export.json", "[]", "the document: Input should be an object"),
        ("export.json", "{}", r"network\.arguments\.num_heads: Field required"),
        ("export.json", "[" * 100_000, "the document: Invalid JSON: recursion limit"),
        ("metadata.json", " " * 1_000_001, "characters long"),
        ("metadata.json", '{"network_data_format": 3}', r"spatial_shape: Field required"),
    ],
)
def test_damaged_descriptions_of_a_bundle_are_an_error(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    with pytest.raises(WeightsError, match=rf"model\.pt: its description can't be understood .*{message}"):
        read_notes(bundle(tmp_path, name, text))


@pytest.mark.parametrize(
    ("shape", "grid"), [([96, 64, 32], (6, 4, 2)), ([96, 64], None), (["16*n", 96, 96], None), ([], None)]
)
def test_a_bundle_tells_its_grid_where_its_patch_is_fixed(
    tmp_path: Path, shape: list[object], grid: tuple[int, int, int] | None
) -> None:
    document = {"network_data_format": {"inputs": {"image": {"spatial_shape": shape}}}}
    assert read_notes(bundle(tmp_path, "metadata.json", json.dumps(document))).position_grid == grid
