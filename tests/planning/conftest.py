import pytest
from planning_records import Make


@pytest.fixture
def make() -> type[Make]:
    """Builders of records with plain values that a test overrides where it matters."""
    return Make
