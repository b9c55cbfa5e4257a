"""Run all benchmarks, each in a process of its own, and write RESULTS.md; `make benchmark` calls this.

A benchmark that fails is named in the results, and the others go on.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path

from benchmarks.measure import Row, markdown

HERE = Path(__file__).parent
BENCHMARKS: dict[str, Sequence[str]] = {
    "preprocess_case": (),
    "preprocess_many": (),
    "data_path": (),
    "spatial_augmentation": (),
    "loader": (),
    "mixcl_step": (),
    "mixcl_step tiny": ("--preset", "tiny", "--batch", "4", "--threads", "1"),
    "finetune_step": (),
    "finetune_step tiny": ("--preset", "tiny", "--threads", "1"),
    "prediction": (),
    "start": (),
}
"""Script and, after a space, its variant: its options."""
LIBRARIES = [
    "mixcl_auto",
    "torch",
    "monai",
    "numpy",
    "scipy",
    "numba",
    "blosc2",
    "edt",
    "isal",
    "SimpleITK",
    "nnunetv2",
    "batchgenerators",
    "batchgeneratorsv2",
]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run and write."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument(
        "names", nargs="*", metavar="NAME", help=f"all if none is given: {', '.join(BENCHMARKS)}"
    )
    options.add_argument("--output", type=Path, default=HERE / "RESULTS.md", help="the file to write")
    chosen = options.parse_args(arguments)
    if unknown := [name for name in chosen.names if name not in BENCHMARKS]:
        options.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    tables = [run(name) for name in chosen.names or BENCHMARKS]
    notes = (HERE / "NOTES.md").read_text(encoding="utf-8")
    chosen.output.write_text("\n".join([heading(), *tables, notes]), encoding="utf-8")
    print(f"The results are in {chosen.output}")


def run(name: str) -> str:
    """One benchmark's table, with the command that made it."""
    command = ["-m", f"benchmarks.{name.split()[0]}", *BENCHMARKS[name]]
    shown = f"`python {' '.join(command)}`"
    print(f"{shown} ...", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "rows.json"
        # Threads that wait by spinning slow a shared machine down, as the command line knows too.
        environment = {"OMP_WAIT_POLICY": "PASSIVE", **os.environ}
        ended = subprocess.run(
            [sys.executable, *command, "--json", str(result)], env=environment, check=False
        )
        if ended.returncode or not result.is_file():
            return f"## {name}\n\nfailed with exit code {ended.returncode}: {shown}\n"
        document = json.loads(result.read_text(encoding="utf-8"))
    table = markdown(document["title"], [Row(**row) for row in document["rows"]])
    return f"{table}\n{shown}\n"


def heading() -> str:
    """Date, machine and versions."""
    versions = ", ".join(f"{library} {_version(library)}" for library in LIBRARIES)
    return (
        "# Benchmarks\n\n"
        "Made by `make benchmark`; [README.md](README.md) says how to read it. Times are medians of rounds\n"
        "in which both sides ran in turn, ratios medians of the rounds' ratios.\n\n"
        f"{date.today().isoformat()}; {machine()}; Python {platform.python_version()}, {versions}.\n"
    )


def machine() -> str:
    """Processor, cores, memory and GPU."""
    import torch

    from mixcl_auto.engines.cores import available_cores
    from mixcl_auto.planning.machine import accelerators, memory_gb

    flags = [name for name, found in torch.cpu.get_capabilities().items() if found is True]
    wanted = [name for name in ("avx512_f", "avx512_bf16", "amx_bf16") if name in flags]
    gpus = ", ".join(gpu.name for gpu in accelerators()) or "no GPU"
    processor = ", ".join(wanted) or platform.machine()
    return f"{available_cores()} cores ({processor}), {memory_gb() or 0:.0f} GB, {gpus}"


def _version(library: str) -> str:
    try:
        return version(library)
    except ModuleNotFoundError:
        return "not installed"


if __name__ == "__main__":
    main()
