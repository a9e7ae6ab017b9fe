"""Control-group files as kernels write them; the machine running this is the upper bound."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from anyres_server import machine

PHYSICAL = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def test_without_a_control_group_the_whole_machine_may_be_used(tmp_path: Path) -> None:
    assert machine.memory_bytes(tmp_path) == PHYSICAL
    assert machine.processors(tmp_path) == len(os.sched_getaffinity(0))


@pytest.mark.parametrize("name", ["memory_DOT_max", "memory__memory_DOT_limit_in_bytes"])
def test_a_containers_memory_limit_counts_in_either_version(tmp_path: Path, name: str) -> None:
    assert machine.memory_bytes(write(tmp_path, **{name: "268435456\n"})) == 2**28


def test_no_limit_and_one_beyond_the_machine_change_nothing(tmp_path: Path) -> None:
    assert machine.memory_bytes(write(tmp_path, memory_DOT_max="max\n")) == PHYSICAL
    assert machine.memory_bytes(write(tmp_path, memory_DOT_max=f"{2**62}\n")) == PHYSICAL


def test_half_a_processor_is_one_thread_and_no_quota_is_all(tmp_path: Path) -> None:
    assert machine.processors(write(tmp_path, cpu_DOT_max="50000 100000\n")) == 1
    everything = machine.processors(write(tmp_path, cpu_DOT_max="max 100000\n"))
    assert everything == len(os.sched_getaffinity(0))


def test_an_older_quota_counts_too(tmp_path: Path) -> None:
    folder = write(
        tmp_path, cpu__cpu_DOT_cfs_quota_us="100000\n", cpu__cpu_DOT_cfs_period_us="100000\n"
    )
    assert machine.processors(folder) == 1


UNIFIED = {
    "memory.max": "max",
    "jobs/memory.max": f"{2**28}",
    "jobs/7/memory.max": f"{2**29}",
    "jobs/7/cpu.max": "100000 100000",
    "elsewhere/memory.max": f"{2**20}",
    "self": "0::/jobs/7",
}
OLDER = {
    "memory/memory.limit_in_bytes": f"{2**62}",
    "memory/jobs/memory.limit_in_bytes": f"{2**28}",
    "memory/jobs/7/memory.limit_in_bytes": f"{2**29}",
    "memory/elsewhere/memory.limit_in_bytes": f"{2**20}",
    "cpu/jobs/7/cpu.cfs_quota_us": "100000",
    "cpu/jobs/7/cpu.cfs_period_us": "100000",
    "self": "5:cpu,cpuacct:/jobs/7\n4:memory:/jobs/7\n3:cpuset:/elsewhere\n",
}


@pytest.mark.parametrize("files", [UNIFIED, OLDER], ids=["unified", "older"])
def test_the_smallest_limit_of_all_groups_around_a_process_counts(
    tmp_path: Path, files: dict[str, str]
) -> None:
    write(tmp_path, **files)
    assert machine.memory_bytes(tmp_path, tmp_path / "self") == 2**28
    assert machine.processors(tmp_path, tmp_path / "self") == 1


def test_bytes_are_rounded_up_to_whole_mebibytes() -> None:
    assert [machine.mib(amount) for amount in (1, 2**20, 2**20 + 1)] == ["1 MiB", "1 MiB", "2 MiB"]
