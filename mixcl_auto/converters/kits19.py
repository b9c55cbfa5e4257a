"""KiTS19: a folder per case; the repository holds the label maps, a script of it fetches the scans."""

import re
from pathlib import Path

from mixcl_auto.converters.conversion import Conversion, LeftOut, Source, leave_out, require_cases
from mixcl_auto.converters.files import folders_in, image_files
from mixcl_auto.errors import DataError
from mixcl_auto.records.case import RawCase, RawDataset

TREE = """\
kits19/
  data/
    case_00000/imaging.nii.gz
    case_00000/segmentation.nii.gz"""

LABELS = {"kidney": 1, "tumour": 2}
ABOUT = {
    "description": "KiTS19: kidneys and kidney tumours in contrast-enhanced CT",
    "reference": "Heller et al., The KiTS19 Challenge Data, arXiv:1904.00445",
}

_CASE = re.compile(r"case_\d{5}")
_NEWER = ("kits21.json", "kits23.json")
_NO_LABEL = "no segmentation (the challenge kept those of its test cases, case_00210 and on)"
_NO_SCAN = "no imaging (fetch it with `python -m starter_code.get_imaging` in the repository)"


def is_root(folder: Path) -> bool:
    """Whether a folder holds cases of KiTS19."""
    return any(_CASE.fullmatch(inner.name) for inner in folders_in(folder))


def read(root: Path, source: Source) -> Conversion:
    """Describe the cases that have both files; images are not opened.

    The files' headers are right: slices first, with an axis-permuted direction, which reading obeys.

    Raises:
        DataError: if no case has both files, or if this is KiTS21 or KiTS23.
    """
    if any((folder / name).exists() for folder in (root, root.parent) for name in _NEWER):
        raise DataError(
            f"{root}: this is a later KiTS, which labels cysts too; write a dataset.json with `cases` for it "
            "(see raw_data_template)"
        )
    cases: list[RawCase] = []
    left_out: LeftOut = {}
    for folder in folders_in(root):
        if not _CASE.fullmatch(folder.name):
            continue
        files, case = image_files(folder), folder.name
        if "segmentation" not in files:
            leave_out(left_out, _NO_LABEL, case)
        elif "imaging" not in files:
            leave_out(left_out, _NO_SCAN, case)
        else:
            image, label = files["imaging"], files["segmentation"]
            cases.append(RawCase(id=case, image=image, label=label, patient=case))
    require_cases(cases, left_out, root)
    dataset = RawDataset(name="KiTS19", role="pretrain", labels=LABELS, cases=tuple(cases))
    return Conversion(root, dataset, ABOUT, left_out)
