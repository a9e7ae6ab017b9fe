"""Freed memory: kept for what comes next, never more than a limit, and given back when idle.

What the allocator is told holds for its whole process, so those tests run in one of their own.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from dataclasses import dataclass

import pytest

from anyres_server.allocator import Freed, used_bytes

MIB = 2**20
needs_glibc = pytest.mark.skipif(used_bytes() is None, reason="only glibc counts what is in use")

FILLED = """
import resource, sys
from concurrent.futures import ThreadPoolExecutor
from anyres_server.allocator import Freed, keep_freed
from anyres_server.machine import resident_bytes

def faults_of_filling(blocks):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    held = [b"1" * (block * 2**20) for block in blocks]
    after = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    return after - before

limit = int(sys.argv[1]) * 2**20
print(keep_freed(limit))
freed = Freed(limit, resident_bytes)
with ThreadPoolExecutor(1) as pool:
    for blocks in [[100], [100], [100], [30, 60]]:  # after the first, what is not freed is learnt
        print(pool.submit(faults_of_filling, blocks).result())
        pool.submit(freed.look).result()
    print(resident_bytes() // 2**20)
"""


def filled(limit_mib: int) -> tuple[bool, list[int], int]:
    """Whether freed memory is kept, the page faults of four steps, and what is resident in MiB."""
    command = [sys.executable, "-c", FILLED, str(limit_mib)]
    words = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return words[0] == "True", [int(word) for word in words[1:5]], int(words[5])


@needs_glibc
def test_what_a_thread_has_freed_is_there_for_the_next_without_a_page_fault() -> None:
    kept, (first, _, again, less), _ = filled(512)
    whole = 99 * MIB // 4096  # of 100, some may have been there
    assert kept
    assert first >= whole
    assert again < whole / 10
    assert less < whole / 10


@needs_glibc
def test_more_than_the_limit_is_given_back() -> None:
    _, _, plenty = filled(512)
    _, (_, _, again, _), few = filled(64)
    assert again >= 99 * MIB // 4096
    assert plenty - few > 90


def test_nothing_is_kept_where_nobody_wants_that() -> None:
    kept, *_ = filled(0)
    assert not kept


@dataclass
class Heap:
    """A process that holds so much, and uses so much of it."""

    resident: int = 0
    used: int = 0
    trims: int = 0

    def freed(self, limit: int) -> Freed:
        return Freed(limit, lambda: self.resident, lambda: self.used, self.trim)

    def trim(self) -> None:
        self.trims += 1
        self.resident = min(self.resident, self.used + 50)  # 50 are not the allocator's


def test_only_what_is_free_counts_against_the_limit() -> None:
    heap = Heap(resident=250, used=200)
    freed = heap.freed(100)
    freed.look()  # learns what is not the allocator's
    heap.resident, heap.used = 1000, 850
    freed.look()
    assert heap.trims == 1
    heap.used = 840
    heap.resident = 1013
    freed.look()
    assert (heap.trims, heap.resident) == (2, 890)


def test_what_others_have_given_back_is_counted_again_when_it_comes_back() -> None:
    heap = Heap(resident=1050, used=1000)
    freed = heap.freed(100)
    freed.look()
    heap.resident = 150
    heap.used = 100
    freed.look()
    heap.resident = 300
    freed.look()
    assert (heap.trims, heap.resident) == (2, 150)


async def test_everything_goes_back_once_when_nothing_runs_for_a_while() -> None:
    heap = Heap(resident=250, used=200)
    freed = heap.freed(10**6)
    async with freed.watched(idle_s=0.01), asyncio.timeout(10):
        await asyncio.sleep(0.03)
        assert heap.trims == 0  # nothing has ever run
        freed.look()
        while heap.trims < 1:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
    assert heap.trims == 1
