"""The standard abdomen that every phantom patient varies: what there is, where, how large, how dense."""

from dataclasses import dataclass

from mixcl_auto.phantoms.grid import Vector

EXTENT_MM: Vector = (368.0, 272.0, 224.0)
"""Width, depth and length of the default field of view."""

TRUNK_RADII_MM = (158.0, 112.0)


@dataclass(frozen=True)
class BlobTemplate:
    """A compact structure in the standard patient; lengths in mm, RAS axes, the trunk's middle at 0."""

    name: str
    centre_mm: Vector
    radii_mm: Vector
    hu: float
    hu_deviation: float
    """Standard deviation of its mean density between patients."""
    texture_hu: float
    """Standard deviation of its density inside one patient."""
    bend_per_mm: float = 0.0
    angles_degrees: Vector = (0.0, 0.0, 0.0)
    roughness: float = 0.10
    """Of the outline, as a share of the smallest radius."""


@dataclass(frozen=True)
class TubeTemplate:
    """A structure that runs through the whole scan along z."""

    name: str
    centre_mm: tuple[float, float]
    radius_mm: float
    hu: float
    hu_deviation: float
    texture_hu: float
    bulge_mm: float = 0.0
    follows: str | None = None
    """Name of the tube inside which this one lies."""


Template = BlobTemplate | TubeTemplate

LABELS: dict[str, int] = {
    "liver": 1,
    "spleen": 2,
    "right_kidney": 3,
    "left_kidney": 4,
    "stomach": 5,
    "gallbladder": 6,
    "pancreas": 7,
    "aorta": 8,
    "vena_cava": 9,
    "spinal_cord": 10,
}
"""The organs a phantom's label map holds; every other structure is background."""

TEMPLATES: tuple[Template, ...] = (
    BlobTemplate("right_lung", (72, 5, 118), (62, 80, 46), -820, 25, 30),
    BlobTemplate("left_lung", (-72, 5, 118), (62, 80, 46), -820, 25, 30),
    BlobTemplate("bowel_1", (-45, 42, -55), (32, 22, 26), 40, 35, 25),
    BlobTemplate("bowel_2", (10, 52, -75), (36, 20, 22), 70, 35, 25),
    BlobTemplate("bowel_3", (58, 40, -62), (28, 24, 30), 25, 35, 25),
    BlobTemplate("bowel_4", (-5, 45, -30), (40, 16, 16), 90, 30, 20, bend_per_mm=-0.004),
    BlobTemplate("bowel_5", (-92, 15, -60), (20, 22, 44), 60, 40, 25),
    BlobTemplate("stomach", (-52, 42, 42), (54, 30, 36), 38, 22, 16, 0.003, (0, 0, 25)),
    BlobTemplate("liver", (66, 12, 44), (76, 72, 56), 105, 12, 8, 0.0015, (0, 0, -10), 0.16),
    BlobTemplate("spleen", (-100, -30, 40), (26, 42, 44), 114, 12, 7, 0.0, (0, 15, 20), 0.14),
    BlobTemplate("right_kidney", (64, -40, -22), (50, 22, 25), 138, 25, 14, 0.006, (0, -80, 0)),
    BlobTemplate("left_kidney", (-64, -40, -12), (50, 22, 25), 138, 25, 14, -0.006, (0, 80, 0)),
    BlobTemplate("gallbladder", (50, 48, -4), (24, 12, 12), 16, 8, 4, 0.0, (0, 60, 20)),
    BlobTemplate("pancreas", (-12, 18, 6), (66, 12, 15), 88, 14, 12, 0.003, (0, -12, 15), 0.2),
    TubeTemplate("vena_cava", (19, -19), 11.5, 122, 22, 6),
    TubeTemplate("aorta", (-12, -24), 11.5, 150, 35, 6),
    TubeTemplate("vertebrae", (0, -55), 21.0, 260, 50, 60, bulge_mm=2.0),
    TubeTemplate("spinous_processes", (0, -92), 7.0, 300, 60, 40, bulge_mm=3.0),
    TubeTemplate("spinal_canal", (0, -80), 10.0, 10, 6, 4),
    TubeTemplate("spinal_cord", (0, -80), 6.5, 44, 7, 4, follows="spinal_canal"),
)
"""In the order they are drawn: where two overlap, the later one wins."""
