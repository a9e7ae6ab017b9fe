"""What the kernel says about a server's process, and limits that it is given from outside."""

from __future__ import annotations

import resource
from pathlib import Path


def resident(pid: int) -> int:
    """Bytes of memory that a process holds."""
    return _status(pid, "VmRSS")


def peak(pid: int) -> int:
    """The most that it ever held."""
    return _status(pid, "VmHWM")


def forget_peak(pid: int) -> None:
    """Count the peak from now on."""
    Path(f"/proc/{pid}/clear_refs").write_text("5", "ascii")


def limit_memory(pid: int, more: int) -> None:
    """Let a process map so many bytes more than it has now, and no byte beyond."""
    limit = _status(pid, "VmSize") + more
    resource.prlimit(pid, resource.RLIMIT_AS, (limit, limit))


def _status(pid: int, key: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text("ascii").splitlines()
    return int(next(line for line in lines if line.startswith(key)).split()[1]) * 1024
