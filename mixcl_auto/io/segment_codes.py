"""SNOMED CT codes of organs and lesions for DICOM segmentations, found from the names that users give them.

Every code stands in DICOM's context groups (PS3.16) for segmented properties or anatomic regions, CID 7150,
7151, 7159, 8134 and 244. A name that isn't surely one of them gets the general code for tissue: a wrong code
is worse than none.
"""

import re
from dataclasses import dataclass

__all__ = ["Code", "SegmentCodes", "segment_codes"]


@dataclass(frozen=True)
class Code:
    """A concept of SNOMED CT, DICOM's coding scheme SCT."""

    value: str
    meaning: str


@dataclass(frozen=True)
class SegmentCodes:
    """What a segment shows."""

    category: Code
    property_type: Code
    side: Code | None = None
    """Left or right: of the organ, or of the organ that a lesion lies in."""
    region: Code | None = None
    """The organ that a lesion lies in."""


TISSUE = Code("85756007", "Tissue")
ANATOMY = Code("91723000", "Anatomical Structure")
ABNORMAL = Code("49755003", "Morphologically Abnormal Structure")
NEOPLASM = Code("108369006", "Neoplasm")

SIDES = {
    "left": Code("7771000", "Left"),
    "l": Code("7771000", "Left"),
    "right": Code("24028007", "Right"),
    "r": Code("24028007", "Right"),
}

LESIONS = {
    "tumour": NEOPLASM,
    "tumor": NEOPLASM,
    "neoplasm": NEOPLASM,
    "cancer": NEOPLASM,
    "carcinoma": NEOPLASM,
    "sarcoma": NEOPLASM,
    "metastasis": Code("14799000", "Neoplasm, Secondary"),
    "lesion": Code("52988006", "Lesion"),
    "cyst": Code("367643001", "Cyst"),
    "nodule": Code("27925004", "Nodule"),
    "mass": Code("4147007", "Mass"),
}

SINGLE = {
    "aorta": Code("15825003", "Aorta"),
    "bladder": Code("89837001", "Bladder"),
    "brain": Code("12738006", "Brain"),
    "brain stem": Code("119238007", "Brain Stem"),
    "cerebellum": Code("113305005", "Cerebellum"),
    "colon": Code("71854001", "Colon"),
    "duodenum": Code("38848004", "Duodenum"),
    "esophagus": Code("32849002", "Esophagus"),
    "gallbladder": Code("28231008", "Gallbladder"),
    "heart": Code("80891009", "Heart"),
    "inferior vena cava": Code("64131007", "Inferior vena cava"),
    "larynx": Code("4596009", "Larynx"),
    "liver": Code("10200004", "Liver"),
    "mandible": Code("91609006", "Mandible"),
    "optic chiasm": Code("244453006", "Optic chiasm"),
    "oral cavity": Code("74262004", "oral cavity"),
    "pancreas": Code("15776009", "Pancreas"),
    "pituitary": Code("56329008", "Pituitary"),
    "portal vein": Code("32764006", "Portal vein"),
    "portal vein and splenic vein": Code("29092000", "Vein"),
    "prostate": Code("41216001", "Prostate"),
    "rectum": Code("34402009", "Rectum"),
    "sacrum": Code("54735007", "Sacrum"),
    "small intestine": Code("30315005", "Small intestine"),
    "spinal cord": Code("2748008", "Spinal cord"),
    "spleen": Code("78961009", "Spleen"),
    "splenic vein": Code("35819009", "Splenic vein"),
    "sternum": Code("56873002", "Sternum"),
    "stomach": Code("69695003", "Stomach"),
    "superior vena cava": Code("48345005", "Superior vena cava"),
    "thyroid": Code("69748006", "Thyroid"),
    "tongue": Code("21974007", "Tongue"),
    "trachea": Code("44567001", "Trachea"),
    "uterus": Code("35039007", "Uterus"),
}

PAIRED = {
    "adrenal gland": Code("23451007", "Adrenal gland"),
    "breast": Code("76752008", "Breast"),
    "clavicle": Code("51299004", "Clavicle"),
    "eye": Code("81745001", "Eye"),
    "eyeball": Code("79652003", "Eyeball"),
    "femoral head": Code("2812003", "Femoral head"),
    "femur": Code("71341001", "Femur"),
    "humerus": Code("85050009", "Humerus"),
    "kidney": Code("64033007", "Kidney"),
    "lung": Code("39607008", "Lung"),
    "optic nerve": Code("18234004", "optic nerve"),
    "parotid gland": Code("45289007", "Parotid gland"),
    "scapula": Code("79601000", "Scapula"),
    "seminal vesicle": Code("64739004", "Seminal Vesicle"),
    "submandibular gland": Code("54019009", "Submandibular gland"),
}

SYNONYMS = {
    "adrenal": "adrenal gland",
    "chiasm": "optic chiasm",
    "cord": "spinal cord",
    "gall bladder": "gallbladder",
    "ivc": "inferior vena cava",
    "jaw": "mandible",
    "oesophagus": "esophagus",
    "parotid": "parotid gland",
    "pituitary gland": "pituitary",
    "portal and splenic vein": "portal vein and splenic vein",
    "postcava": "inferior vena cava",
    "small bowel": "small intestine",
    "submandibular": "submandibular gland",
    "suprarenal gland": "adrenal gland",
    "svc": "superior vena cava",
    "thyroid gland": "thyroid",
    "urinary bladder": "bladder",
}

_FILLERS = ("primary", "primaries")


def segment_codes(name: str) -> SegmentCodes:
    """The codes for an organ or lesion of a user's name: ``kidney right``, ``Parotid_L``, ``cancer``.

    Case, separators, plurals and the place of ``left`` and ``right`` don't matter. A side is coded only for
    organs that come in pairs.
    """
    words = _words(name)
    sides = {SIDES[word] for word in words if word in SIDES}
    lesions = {LESIONS[_singular(word)] for word in words if _singular(word) in LESIONS}
    rest = [w for w in words if w not in SIDES and _singular(w) not in LESIONS and w not in _FILLERS]
    organ = _organ(rest, sided=bool(sides))
    unclear = len(sides) > 1 or len(lesions) > 1 or (organ is None and (rest or sides))
    side = next(iter(sides), None)
    if lesions and not unclear:
        return SegmentCodes(ABNORMAL, lesions.pop(), side, organ)
    if organ and not unclear:
        return SegmentCodes(ANATOMY, organ, side)
    return SegmentCodes(TISSUE, TISSUE)


def _words(name: str) -> list[str]:
    """A name's words in lower case; ``SpinalCord`` and ``Parotid_L`` are two words each."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return re.findall(r"[^\W_]+", spaced.lower())


def _singular(word: str) -> str:
    if word == "metastases":
        return "metastasis"
    return word[:-1] if word.endswith("s") and word[:-1] in _SINGULARS else word


def _organ(words: list[str], *, sided: bool) -> Code | None:
    """The organ of these words; with a side only those that have one."""
    known = PAIRED if sided else {**SINGLE, **PAIRED}
    text = "".join([*words[:-1], *(_singular(word) for word in words[-1:])])
    text = _JOINED_SYNONYMS.get(text, text)
    return next((code for organ, code in known.items() if _joined(organ) == text), None)


def _joined(text: str) -> str:
    """Without spaces, so that ``brainstem`` is ``brain stem``."""
    return text.replace(" ", "")


_JOINED_SYNONYMS = {_joined(name): _joined(organ) for name, organ in SYNONYMS.items()}
_SINGULARS = {name.split()[-1] for name in (*SINGLE, *PAIRED, *SYNONYMS, *LESIONS)}
