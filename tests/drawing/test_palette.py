import itertools

import numpy as np
import pytest

from mixcl_auto.drawing.palette import arm_colours, arm_markers, legend_text, organ_colours

SIGHT = {
    "normal": np.eye(3),
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.01182, 0.04294, 0.968881],
    ],
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
}
"""On linear RGB: Machado, Oliveira and Fernandes (2009), severity 1."""
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
WHITE = np.array([0.95047, 1.0, 1.08883])


def cielab(colour, sight):
    parts = np.array([int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)])
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    xyz = TO_XYZ @ np.clip(np.asarray(sight) @ linear, 0, 1) / WHITE
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("sight", SIGHT)
def test_any_two_organs_can_be_told_apart_by_colour_blind_readers_too(sight):
    seen = [cielab(colour, SIGHT[sight]) for colour in organ_colours(range(1, 14)).values()]
    assert min(np.linalg.norm(one - two) for one, two in itertools.combinations(seen, 2)) > 18


def test_colours_differ_between_arms_and_an_organ_keeps_its_own():
    inits = ("scratch", "mixcl", "scratch-2", "balanced", "supervised")
    assert len(set(arm_colours(inits).values())) == len(set(arm_markers(inits).values())) == 5
    assert organ_colours([3])[3] == organ_colours(range(1, 14))[3]


def test_a_name_that_begins_with_an_underscore_is_still_in_a_legend():
    assert legend_text("_mine") == " _mine"
    assert legend_text("mixcl") == "mixcl"
