"""Which studies lie below a folder, quickly: from the header of one slice of each folder."""

from pathlib import Path

from mixcl_auto.errors import DataError
from mixcl_auto.io.dicom_files import DICOM_SUFFIXES, SLICE_CLASSES, files_below, sop_class_of
from mixcl_auto.io.dicom_slices import header_text, open_header

_STUDY_UID = "0020|000d"


def studies_below(folder: Path) -> dict[Path, str]:
    """Each folder with slices directly in it, with the StudyInstanceUID of the first of them.

    A folder whose slices don't say it, or whose only DICOM files are damaged, is a study of its own. Other
    files that can't be opened are passed over.

    Raises:
        DataError: if a folder can't be opened.
    """
    studies: dict[Path, str] = {}
    damaged: dict[Path, str] = {}
    for path in files_below(folder):
        parent = path.parent
        if parent in studies:
            continue
        try:
            sop_class = sop_class_of(path)
        except DataError:
            sop_class = None
        if sop_class in SLICE_CLASSES:
            studies[parent] = _study_uid(path) or str(parent)
        elif sop_class is None and path.suffix.lower() in DICOM_SUFFIXES:
            damaged[parent] = str(parent)
    return damaged | studies


def _study_uid(path: Path) -> str:
    """Empty where there is none, or where the header can't be read."""
    reader = open_header(path)
    return "" if reader is None else header_text(reader, _STUDY_UID)
