"""The Dice that the paper published, for MSD Spleen and BTCV.

Li, Quan and Zhou, "MixCL: Pixel label matters to contrastive learning in medical image segmentation",
Tables 1 and 2; the differences are as printed. Its split of the data, budget and network are its own.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class PaperRow:
    """A row of the paper's Table 1."""

    scratch: float
    mixcl: float
    difference: float
    """As printed."""


PAPER_TABLE_1: dict[tuple[str, float], PaperRow] = {
    ("Spleen", 0.05): PaperRow(0.5065, 0.5593, 0.0528),
    ("Spleen", 0.15): PaperRow(0.8247, 0.8430, 0.0183),
    ("Spleen", 0.5): PaperRow(0.9424, 0.9453, 0.0019),
    ("Spleen", 1.0): PaperRow(0.9597, 0.9612, 0.0015),
    ("BTCV", 0.15): PaperRow(0.2459, 0.3871, 0.1412),
    ("BTCV", 0.5): PaperRow(0.5851, 0.5939, 0.0085),
    ("BTCV", 1.0): PaperRow(0.7524, 0.7656, 0.0132),
}
"""By dataset and share of labels."""

ALL_TERMS = frozenset({"identity", "label", "reconstruction"})

PAPER_TABLE_2: dict[tuple[str, float, frozenset[str]], float] = {
    ("Spleen", 0.3, frozenset()): 0.8975,
    ("Spleen", 0.3, frozenset({"identity", "label"})): 0.9150,
    ("Spleen", 0.3, ALL_TERMS): 0.9178,
    ("BTCV", 1.0, frozenset()): 0.7524,
    ("BTCV", 1.0, frozenset({"identity", "label"})): 0.7618,
    ("BTCV", 1.0, ALL_TERMS): 0.7656,
}
"""By dataset, share of labels and the terms that were on; no term is training from scratch."""

_NUMBERED = re.compile(r"^(?:Dataset|Task)\d+_", re.IGNORECASE)


def paper_name(dataset: str) -> str | None:
    """What the paper calls a dataset: nnU-Net's and MSD's numbers in front do not matter.

    ``Task09_Spleen``, ``Dataset009_Spleen`` and ``Spleen`` are its Spleen; ``BTCV`` and ``BTCV_...`` its
    BTCV; nothing else is in it.
    """
    name = _NUMBERED.sub("", dataset).upper()
    if name == "SPLEEN":
        return "Spleen"
    return "BTCV" if name == "BTCV" or name.startswith("BTCV_") else None


def paper_row(dataset: str, fraction: float) -> PaperRow | None:
    """The row of the paper's Table 1, if it has one."""
    return PAPER_TABLE_1.get((paper_name(dataset) or "", round(fraction, 6)))


def paper_ablation(dataset: str, fraction: float, terms: frozenset[str]) -> float | None:
    """The Dice of the paper's Table 2 with these terms on, if it has one."""
    return PAPER_TABLE_2.get((paper_name(dataset) or "", round(fraction, 6), terms))
