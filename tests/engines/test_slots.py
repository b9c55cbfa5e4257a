import pytest

from mixcl_auto.engines.engine import Resources
from mixcl_auto.engines.slots import Slots
from mixcl_auto.errors import RunError


def taken(slots, resources, tries=10):
    """Devices of the tasks that fit at once."""
    found = [slots.take(resources) for _ in range(tries)]
    return [devices for devices in found if devices is not None]


@pytest.mark.parametrize(
    ("slots", "resources", "at_once"),
    [
        (Slots(4), Resources(1), 4),
        (Slots(4), Resources(3), 1),
        (Slots(4), Resources(5), 1),  # more threads than cores: alone
        (Slots(4, jobs=2), Resources(1), 2),
        (Slots(8, devices=("0", "1")), Resources(1, gpus=1), 2),
        (Slots(8, devices=("0", "1")), Resources(1, gpus=0.5), 4),
        (Slots(8, devices=("0", "1", "2")), Resources(1, gpus=2), 1),
        (Slots(9, devices=("0",)), Resources(1, gpus=1 / 3), 3),
        (Slots(3, devices=("0", "1")), Resources(1, gpus=0.25), 3),
    ],
)
def test_as_many_fit_as_the_capacity_says(slots, resources, at_once):
    assert slots.capacity(resources) == at_once
    assert len(taken(slots, resources)) == at_once


def test_fractions_are_spread_before_they_share():
    slots = Slots(8, devices=("0", "1"))
    assert taken(slots, Resources(1, gpus=0.5)) == [("0",), ("1",), ("0",), ("1",)]


def test_a_whole_device_waits_until_no_fraction_is_left_on_it():
    slots, half, whole = Slots(8, devices=("a",)), Resources(1, gpus=0.5), Resources(1, gpus=1)
    slots.take(half)
    assert slots.take(whole) is None
    slots.give_back(half, ("a",))
    assert slots.take(whole) == ("a",)


def test_what_is_given_back_can_be_taken_again():
    slots, one = Slots(1, devices=("a",)), Resources(1, gpus=1)
    for _ in range(3):
        assert taken(slots, one) == [("a",)]
        slots.give_back(one, ("a",))


def test_too_many_threads_wait_for_the_others():
    slots = Slots(2)
    assert slots.take(Resources(1)) == ()
    assert slots.take(Resources(3)) is None
    slots.give_back(Resources(1), ())
    assert slots.take(Resources(3)) == ()
    assert slots.take(Resources(1)) is None


def test_what_can_never_fit_is_refused():
    with pytest.raises(RunError, match="takes 2 GPUs and this machine offers 1; ask for fewer"):
        Slots(4, devices=("0",)).capacity(Resources(gpus=2))
    with pytest.raises(RunError, match=r"can't take 1\.5 GPUs; give a fraction below 1, or a whole number"):
        Slots(4, devices=("0", "1")).capacity(Resources(gpus=1.5))
