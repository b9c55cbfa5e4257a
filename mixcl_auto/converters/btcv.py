"""BTCV, the abdominal part of "Beyond the Cranial Vault": images and labels in two folders, by number."""

from collections.abc import Iterable
from pathlib import Path

from mixcl_auto.converters.conversion import Conversion, Source, require_cases, some
from mixcl_auto.converters.files import image_files
from mixcl_auto.records.case import RawCase, RawDataset

TREE = """\
RawData/
  Training/
    img/img0001.nii.gz
    label/label0001.nii.gz"""

LABELS = {
    name: value
    for value, name in enumerate(
        (
            "spleen",
            "right kidney",
            "left kidney",
            "gallbladder",
            "oesophagus",
            "liver",
            "stomach",
            "aorta",
            "inferior vena cava",
            "portal and splenic vein",
            "pancreas",
            "right adrenal",
            "left adrenal",
        ),
        start=1,
    )
}
ABOUT = {
    "description": "BTCV: 13 abdominal organs in portal venous CT; not every scan shows every organ",
    "reference": "Multi-Atlas Labeling Beyond the Cranial Vault, https://www.synapse.org/Synapse:syn3193805",
}
NUMBERS = (*range(1, 11), *range(21, 41))
"""Of the cases with labels; 61 to 80 are the challenge's test scans."""


def is_root(folder: Path) -> bool:
    """Whether a folder is BTCV's ``Training``."""
    return bool(_numbered(folder / "img", "img") and _numbered(folder / "label", "label"))


def read(root: Path, source: Source) -> Conversion:
    """Describe the scans that have a label map; images are not opened.

    Raises:
        DataError: if no scan has one.
    """
    images, labels = _numbered(root / "img", "img"), _numbered(root / "label", "label")
    both = sorted(images.keys() & labels.keys())
    cases = [
        RawCase(id=f"img{number}", image=images[number], label=labels[number], patient=f"img{number}")
        for number in both
    ]
    unpaired = {
        "no label map": tuple(f"img{number}" for number in sorted(images.keys() - labels.keys())),
        "no scan": tuple(f"label{number}" for number in sorted(labels.keys() - images.keys())),
    }
    left_out = {reason: names for reason, names in unpaired.items() if names}
    require_cases(cases, left_out, root)
    dataset = RawDataset(name="BTCV", role="target", labels=LABELS, cases=tuple(cases))
    return Conversion(root, dataset, ABOUT, left_out, tuple(_warnings(int(number) for number in both)))


def _numbered(folder: Path, prefix: str) -> dict[str, Path]:
    """Files called by the prefix and four digits, by these digits."""
    files = {stem.removeprefix(prefix): path for stem, path in image_files(folder).items()}
    return {
        digits: path
        for digits, path in files.items()
        if len(digits) == 4 and digits.isdecimal() and path.name.startswith(prefix)
    }


def _warnings(numbers: Iterable[int]) -> Iterable[str]:
    present = set(numbers)
    missing = [f"{number:04d}" for number in NUMBERS if number not in present]
    further = [f"{number:04d}" for number in sorted(present - set(NUMBERS))]
    if missing or further:
        parts = [f"not there: {some(missing)}"] * bool(missing)
        parts += [f"not known: {some(further)}"] * bool(further)
        yield (
            f"BTCV has 30 cases (1 to 10 and 21 to 40), here are {len(present)}; {'; '.join(parts)}; the "
            "paper's fractions of labels are of 30"
        )
