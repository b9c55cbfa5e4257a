import pytest
from cached_phantoms import make_volume, write_volume

from mixcl_auto.io.case_cache import CaseReader, open_case

SHAPES = ((96, 90, 88), (90, 96, 90), (92, 92, 92), (72, 76, 28))
"""The last one is shorter than a patch."""


@pytest.fixture(scope="session")
def cases(tmp_path_factory: pytest.TempPathFactory) -> dict[int, CaseReader]:
    """Cached cases with three balls each, by number."""
    folder = tmp_path_factory.mktemp("cache")
    for number, shape in enumerate(SHAPES):
        image, labels = make_volume(number, 3, shape)
        write_volume(folder / f"case_{number}", f"case_{number}", image, labels)
    return {number: open_case(folder / f"case_{number}") for number in range(len(SHAPES))}
