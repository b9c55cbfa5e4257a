import shutil

import pytest

from mixcl_auto.engines.engine import Outcome
from mixcl_auto.engines.shared_folder import answer, check_shared
from mixcl_auto.errors import RunError


class OneNode:
    """A node that mounts another disk where the driver has its own, or the same one."""

    def __init__(self, mounted, other_disk=None):
        self.mounted, self.other_disk = mounted, other_disk

    def on_every_node(self, function, *arguments):
        mine = self.mounted.with_name("driver's disk")
        if self.other_disk is not None:
            self.mounted.rename(mine)
            shutil.copytree(self.other_disk(mine), self.mounted)
        try:
            outcome = Outcome("node-7", value=function(*arguments))
        except Exception as problem:
            outcome = Outcome("node-7", error=problem)
        if self.other_disk is not None:
            shutil.rmtree(self.mounted)
            mine.rename(self.mounted)
        return {"node-7": outcome}


@pytest.fixture
def disk(tmp_path):
    (tmp_path / "disk").mkdir()
    return tmp_path / "disk"


def test_a_shared_folder_passes_and_keeps_no_probe(disk):
    check_shared(OneNode(disk), disk / "workspace")
    assert list((disk / "workspace").iterdir()) == []


def test_a_disk_of_the_nodes_own_is_noticed(disk, tmp_path):
    (tmp_path / "empty").mkdir()
    node = OneNode(disk, lambda mine: tmp_path / "empty")
    message = (
        "node node-7 does not share the folder .*workspace: it does not see a file .*under the same path"
    )
    with pytest.raises(RunError, match=message):
        check_shared(node, disk / "workspace", patience_s=0.1)
    assert list((disk / "workspace").iterdir()) == []


def test_a_copy_that_is_only_read_is_noticed(disk):
    """The node sees the driver's files, but what it writes stays there."""
    with pytest.raises(RunError, match=r"node node-7 .*: what it writes there does not appear here"):
        check_shared(OneNode(disk, lambda mine: mine), disk / "workspace", patience_s=0.1)


def test_a_node_that_can_not_write_is_named_with_the_cause(disk):
    class ReadOnly(OneNode):
        def on_every_node(self, function, *arguments):
            return {"node-7": Outcome("node-7", error=PermissionError(13, "Permission denied"))}

    with pytest.raises(
        RunError, match=r"node-7 .*: PermissionError: .*Permission denied; the workspace must"
    ):
        check_shared(ReadOnly(disk), disk)


def test_a_question_with_another_content_is_not_answered(disk):
    (disk / "question").write_text("an older one")
    with pytest.raises(RunError, match="does not see"):
        answer(disk, "token", 0.1)
