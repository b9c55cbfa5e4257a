"""``probe/<Dataset>/fold_k/<init>.json``: what probes of encoders found."""

from pathlib import Path

from mixcl_auto.io.files import read_text, write_text
from mixcl_auto.records.probe import ProbeResult


def write_probe(path: Path, result: ProbeResult) -> None:
    """Write a result at once."""
    write_text(path, result.to_json())


def read_probe(path: Path) -> ProbeResult:
    """Read a result back, exactly as written.

    Raises:
        DataError: if the file is missing or malformed.
    """
    text = read_text(path, what="result of a probe", remedy="run `mixcl_auto probe` again")
    return ProbeResult.from_json(text, source=str(path))
