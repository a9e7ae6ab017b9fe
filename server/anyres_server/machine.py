"""What this process may use of the machine: processors and memory, a container's limits included.

A container sees all of its host's processors and memory; what it may use stands in its control
group (version 2, or version 1 on older hosts), so both are read and the smallest number counts. A
container's own group is the root that it sees; a systemd unit or a batch job lies in a group below
the machine's root, and the limits of all groups around it hold, too.
"""

from __future__ import annotations

import ctypes
import gc
import os
from functools import cache
from math import ceil
from pathlib import Path, PurePosixPath

CGROUP = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")


def processors(cgroup: Path = CGROUP, membership: Path = MEMBERSHIP) -> int:
    """How many threads can really run at once; at least 1."""
    limits = [len(os.sched_getaffinity(0)), *_quotas(cgroup, membership)]
    return max(1, min(limits))


def memory_bytes(cgroup: Path = CGROUP, membership: Path = MEMBERSHIP) -> int:
    """How much memory this process can have before it is killed or swaps."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    files = [
        *(group / "memory.max" for group in _groups(cgroup, "", membership)),
        *(group / "memory.limit_in_bytes" for group in _groups(cgroup, "memory", membership)),
    ]
    return min(
        [physical, *(int(word) for file in files for word in _words(file)[:1] if _set(word))]
    )


def resident_bytes() -> int:
    """How much memory this process holds, files mapped into it left out; 0 where nothing tells.

    Asked for every message, so the file stays open: that takes 6 us, and opening it 130.
    """
    file = _statm()
    if file is None:
        return 0
    _, resident, shared, *_ = os.pread(file, 256, 0).split()
    return (int(resident) - int(shared)) * os.sysconf("SC_PAGE_SIZE")


def trim_memory() -> None:
    """Give memory that nobody uses back to the system: Python's circles, and what glibc keeps."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def mib(amount: int) -> str:
    """Bytes in words: "1536 MiB"."""
    return f"{-(-amount // 2**20)} MiB"


@cache
def _statm() -> int | None:
    try:
        return os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None


def _groups(cgroup: Path, controller: str, membership: Path) -> list[Path]:
    """The folders of the groups that this process is in, the outermost first.

    Args:
        cgroup: where control groups are mounted.
        controller: of version 1; "" for version 2, which has one tree for all.
        membership: lines "4:memory:/jobs/7", or "0::/jobs/7" in version 2.
    """
    groups = [cgroup / controller]
    for line in _lines(membership):
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            for name in PurePosixPath(path).parts[1:]:
                groups.append(groups[-1] / name)
    return groups


def _quotas(cgroup: Path, membership: Path) -> list[int]:
    """Whole processors' worth of running time a period, from either version of control groups."""
    pairs = [
        *(_words(group / "cpu.max") for group in _groups(cgroup, "", membership)),
        *(
            _words(group / "cpu.cfs_quota_us") + _words(group / "cpu.cfs_period_us")
            for group in _groups(cgroup, "cpu", membership)
        ),
    ]
    return [ceil(int(pair[0]) / int(pair[1])) for pair in pairs if len(pair) == 2 and _set(pair[0])]


def _words(file: Path) -> list[str]:
    return [word for line in _lines(file) for word in line.split()]


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text().splitlines()
    except OSError:
        return []  # no such control group: no limit


def _set(word: str) -> bool:
    return word not in {"max", "-1"}
