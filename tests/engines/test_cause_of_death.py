import signal

import pytest

from mixcl_auto.engines.cause_of_death import MemoryKiller, describe_death, signal_name, victims_file


@pytest.fixture
def counter(tmp_path):
    file = tmp_path / "memory.events"
    file.write_text("low 0\noom 7\noom_kill 2\noom_group_kill 0\n")
    return file


def kill_one_more(counter):
    victims = int(counter.read_text().split("oom_kill ")[1].split()[0])
    counter.write_text(f"oom 7\noom_kill {victims + 1}\n")


def test_every_victim_of_the_memory_killer_explains_one_death(counter):
    killer = MemoryKiller(counter)
    assert killer.has_struck() is False
    kill_one_more(counter)
    kill_one_more(counter)
    assert [killer.has_struck() for _ in range(3)] == [True, True, False]


def test_victims_of_long_ago_explain_nothing(counter):
    killer = MemoryKiller(counter, recent_s=0)
    kill_one_more(counter)
    killer.look()
    killer.look()
    assert killer.has_struck() is False


def test_a_victim_that_has_just_been_seen_still_explains_its_death(counter):
    """The kernel counts first; a large process takes a while to die."""
    killer = MemoryKiller(counter)
    kill_one_more(counter)
    killer.look()
    killer.look()
    assert killer.has_struck() is True


def test_kill_signal_is_laid_to_the_kernel_where_it_counts_a_victim(counter, tmp_path):
    killer = MemoryKiller(counter)
    death = describe_death(-signal.SIGKILL, killer)
    assert death.cause == "was killed by SIGKILL (not by the kernel's memory killer)"
    assert not death.for_memory
    kill_one_more(counter)
    death = describe_death(-signal.SIGKILL, killer)
    assert death.cause == "was killed by SIGKILL, by the kernel for lack of memory"
    assert death.for_memory
    unknown = describe_death(-signal.SIGKILL, MemoryKiller(tmp_path / "none"))
    assert unknown.cause == "was killed by SIGKILL, perhaps by the kernel for lack of memory"
    assert not unknown.for_memory


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        (0, "ended by itself, with code 0"),
        (3, "ended by itself, with code 3"),
        (77, "ran out of memory"),
        (-11, "was killed by SIGSEGV"),
        (-7, "was killed by SIGBUS (a file that it had mapped was cut short, or its disk failed or is full)"),
    ],
)
def test_other_ends_are_named_whatever_the_memory_killer_does(counter, code, cause):
    killer = MemoryKiller(counter)
    kill_one_more(counter)
    assert describe_death(code, killer).cause == cause


def test_a_signal_without_a_name_is_a_number():
    assert signal_name(9) == "SIGKILL"
    assert signal_name(63) == "signal 63"


def write(file, text=""):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def test_victims_are_counted_in_the_smallest_group_that_tells(tmp_path):
    root, process = tmp_path / "cgroup", tmp_path / "self"
    assert str(victims_file(root, process)) == "/proc/vmstat"
    write(process, "0::/user.slice/job.scope\n")
    assert str(victims_file(root, process)) == "/proc/vmstat"
    container = write(root / "memory.events")
    assert victims_file(root, process) == container
    own = write(root / "user.slice" / "job.scope" / "memory.events")
    assert victims_file(root, process) == own


def test_victims_of_version_1_are_found_too(tmp_path):
    root, process = (
        tmp_path / "cgroup",
        write(tmp_path / "self", "5:cpu:/docker/1\n4:memory:/docker/1\n0::/\n"),
    )
    container = write(root / "memory" / "memory.oom_control")
    assert victims_file(root, process) == container
    own = write(root / "memory" / "docker" / "1" / "memory.oom_control")
    assert victims_file(root, process) == own


def test_the_file_of_this_machine_can_be_read_or_is_absent():
    assert MemoryKiller().has_struck() in (None, False)
