"""What this process may use of the machine: processors and memory, a container's limits included.

A container sees all of its host's processors and memory; what it may use stands in its control
group (version 2, or version 1 on older hosts), so both are read and the smallest number counts.
"""

from __future__ import annotations

import ctypes
import gc
import os
from functools import cache
from math import ceil
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def processors(cgroup: Path = CGROUP) -> int:
    """How many threads can really run at once; at least 1."""
    limits = [len(os.sched_getaffinity(0)), *_quotas(cgroup)]
    return max(1, min(limits))


def memory_bytes(cgroup: Path = CGROUP) -> int:
    """How much memory this process can have before it is killed or swaps."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    files = (cgroup / "memory.max", cgroup / "memory" / "memory.limit_in_bytes")
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


def _quotas(cgroup: Path) -> list[int]:
    """Whole processors' worth of running time a period, from either version of control groups."""
    old = cgroup / "cpu"
    pairs = (
        _words(cgroup / "cpu.max"),
        _words(old / "cpu.cfs_quota_us") + _words(old / "cpu.cfs_period_us"),
    )
    return [ceil(int(pair[0]) / int(pair[1])) for pair in pairs if len(pair) == 2 and _set(pair[0])]


def _words(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="ascii").split()
    except OSError:
        return []  # no such control group: no limit


def _set(word: str) -> bool:
    return word not in {"max", "-1"}
