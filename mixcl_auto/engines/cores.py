"""How many CPU cores this process may use."""

import math
import os
from pathlib import Path


def available_cores() -> int:
    """Cores that the process may use: its affinity, lowered to the quota of its control group."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else (os.cpu_count() or 1)
    quota = control_group_quota()
    return cores if quota is None else max(1, min(cores, math.floor(quota)))


def control_group_quota(root: Path = Path("/sys/fs/cgroup")) -> float | None:
    """Cores' worth of time that Linux's control group (version 2, else 1) grants; absent if unlimited."""
    try:
        quota, period = (root / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = (root / "cpu" / "cpu.cfs_quota_us").read_text().strip()
            period = (root / "cpu" / "cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    if not quota.isdecimal() or not period.isdecimal() or int(period) == 0:
        return None
    return int(quota) / int(period)


def physical_cores(topology: Path = Path("/sys/devices/system/cpu")) -> int:
    """Available cores without counting a second hardware thread of the same core, where that can be told."""
    affinity = getattr(os, "sched_getaffinity", None)
    if affinity is None:
        return available_cores()
    files = [topology / f"cpu{number}" / "topology" / "thread_siblings_list" for number in affinity(0)]
    try:
        cores = len({file.read_text() for file in files})
    except OSError:
        return available_cores()
    return min(cores, available_cores())
