"""Wide or narrow: one run with all threads, or several at once with one thread each.

With `t` seconds for a wide run, `n` for a narrow one while others run beside it, and processors
that are free after `f_1 <= ... <= f_p` seconds (0: it is free now), `k` pieces are done after

    wide      f_p + k * t          once all are free, one after the other
    narrow    the last of k runs   of n seconds each, every one on the processor that is free first

and the faster way is taken. Where all are free that is `k * t` against `ceil(k / p) * n`. A lone
piece goes wide then: nothing else would use the processors.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heapify, heapreplace


def goes_wide(
    waiting: int, free_after: Sequence[float], wide_s: float | None, narrow_s: float | None
) -> bool:
    """Whether the next of `waiting` pieces should have all processors, and wait for them.

    Args:
        waiting: pieces that could start now, at least 1.
        free_after: seconds until each processor is free; 0 for at least one.
        wide_s: predicted for it with all of them; None where nobody knows.
        narrow_s: with one of them; None where nobody knows, and then it is tried.
    """
    processors, drained_s = len(free_after), max(free_after)
    if processors == 1 or (waiting == 1 and not drained_s):
        return True
    if wide_s is None or narrow_s is None:
        return waiting < processors and not drained_s
    return drained_s + waiting * wide_s <= _last_narrow(waiting, free_after, narrow_s)


def _last_narrow(waiting: int, free_after: Sequence[float], narrow_s: float) -> float:
    """When the last of them ends, in seconds."""
    slots, last = list(free_after), 0.0
    heapify(slots)
    for _ in range(waiting):
        last = slots[0] + narrow_s
        heapreplace(slots, last)
    return last
