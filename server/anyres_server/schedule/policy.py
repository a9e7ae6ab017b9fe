"""Wide or narrow: one run with all threads, or several at once with one thread each.

With `t` seconds for a wide run, `n` for a narrow one while others run beside it, and processors
that are free after `f_1 <= ... <= f_p` seconds (0: it is free now), `k` pieces of which the first
`j` run narrow and the others wide are done after

    e_0 = f_p                    once all processors are free
    e_j = the last of j runs     of n seconds each, every one on the processor that is free first
    e_j + (k - j) * t            with the wide ones after those, one after the other

and the next piece goes wide where no `j` is better than 0. Worked: three pieces, two processors,
both free, t = 6, n = 10. All wide take 18 and all narrow 20, but two narrow and then one wide 16.

A lone piece goes wide: nothing else would use the processors.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
    narrow_first = (
        last + (waiting - count) * wide_s
        for count, last in enumerate(_last_narrow(waiting, free_after, narrow_s), start=1)
    )
    return drained_s + waiting * wide_s <= min(narrow_first)


def _last_narrow(waiting: int, free_after: Sequence[float], narrow_s: float) -> Iterator[float]:
    """When the last of 1, 2, ... narrow runs ends, in seconds."""
    slots = list(free_after)
    heapify(slots)
    for _ in range(waiting):
        last = slots[0] + narrow_s
        heapreplace(slots, last)
        yield max(slots)
