import pytest

from mixcl_auto.distributed.launch import Launch, read_launch
from mixcl_auto.errors import RunError

TORCHRUN = {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4"}


def test_without_a_launcher_a_process_is_alone():
    assert read_launch({}) == Launch(rank=0, count=1, local_rank=0, local_count=1)


def test_torchruns_variables_are_read():
    assert read_launch(TORCHRUN) == Launch(rank=5, count=8, local_rank=1, local_count=4)


@pytest.mark.parametrize(("name", "value"), [("LOCAL_RANK", None), ("WORLD_SIZE", "two"), ("RANK", "-1")])
def test_half_a_launch_is_refused(name, value):
    environment = {key: text for key, text in TORCHRUN.items() if key != name}
    if value is not None:
        environment[name] = value
    with pytest.raises(RunError, match=rf"{name}.*by torchrun.*or unset"):
        read_launch(environment)
