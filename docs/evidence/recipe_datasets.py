"""Halves of the pool's datasets, one to pre-train on and one as a target: data to choose a recipe on.

``python docs/evidence/recipe_datasets.py RAW_DATA WORKSPACE`` writes ``WORKSPACE/raw_data/<Dataset>_A``
(every second case, the pool) and ``_B`` (the others, a target). They name the scans where they lie. The
study's target is not among them, so nothing that is chosen here has seen one of its cases.
"""

import json
import sys
from pathlib import Path

HALVED = ("HN_Cord", "HN_Parotids", "HN_Jaw")
WHOLE = ("STS_Tumour",)
"""Pool alone."""


def write_halves(raw_data: Path, workspace: Path) -> None:
    """Write the ``dataset.json`` of every half."""
    for name in (*HALVED, *WHOLE):
        source = (raw_data / name).absolute()
        document = json.loads((source / "dataset.json").read_text())
        ending = document["file_ending"]
        cases = sorted(path.name.removesuffix(ending) for path in (source / "labelsTr").glob(f"*{ending}"))
        halves = {f"{name}_A": cases[::2], f"{name}_B": cases[1::2]} if name in HALVED else {name: cases}
        for half, ids in halves.items():
            listed = [
                {
                    "id": case,
                    "image": str(source / "imagesTr" / f"{case}_0000{ending}"),
                    "label": str(source / "labelsTr" / f"{case}{ending}"),
                }
                for case in ids
            ]
            role = "target" if half.endswith("_B") else "pretrain"
            folder = workspace / "raw_data" / half
            folder.mkdir(parents=True, exist_ok=True)
            described = document | {"name": half, "role": role, "numTraining": len(ids), "cases": listed}
            (folder / "dataset.json").write_text(json.dumps(described, indent=1) + "\n")


if __name__ == "__main__":
    write_halves(Path(sys.argv[1]), Path(sys.argv[2]))
