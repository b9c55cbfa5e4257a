"""Dice of one pre-training minus that of another, which ``report`` does not table, and its interval.

``python docs/evidence/difference.py fresh_level_0 levels`` reads the scores here: plan ``careful``, seed 0;
``--step 300`` those on the way.
"""

import argparse
from pathlib import Path

import pandas as pd
from scipy import stats

RUNS = Path(__file__).parent / "results" / "careful" / "finetune" / "HN_Organs"
FRACTIONS = ("0.05", "0.15")


def main() -> None:
    """Print the mean difference and its 95 % Student-t interval for each share of labels."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("first")
    arguments.add_argument("second")
    arguments.add_argument("--step", type=int, help="default: the last")
    asked = arguments.parse_args()
    for fraction in FRACTIONS:
        first, second = (_dice(init, fraction, asked.step) for init in (asked.first, asked.second))
        difference = (first - second).dropna()
        if len(difference) < 2:
            continue
        low, high = stats.t.interval(0.95, len(difference) - 1, difference.mean(), stats.sem(difference))
        interval = f"{difference.mean():+.3f} ({low:+.3f} to {high:+.3f})"
        print(f"{float(fraction):.0%}: {interval}, {len(difference)} folds")


def _dice(init: str, fraction: str, step: int | None) -> "pd.Series[float]":
    """Of each fold, the mean over organs, then over cases."""
    name = "scores.csv" if step is None else f"scores_at_{step}.csv"
    files = sorted(RUNS.glob(f"{init}/fraction_{fraction}/fold_*/seed_0/{name}"))
    folds = {file.parts[-3]: pd.read_csv(file).groupby("case")["dice"].mean().mean() for file in files}
    return pd.Series(folds, dtype=float)


if __name__ == "__main__":
    main()
