"""Wide or narrow: one run with all threads, or several at once with one thread each.

With `t` seconds for a wide run and `n` for a narrow one while others run beside it, `k` pieces on
`p` processors are done after

    wide      k * t                  one after the other
    narrow    ceil(k / p) * n        p at a time

and the faster way is taken. A lone piece goes wide: nothing else would use the processors.
"""

from __future__ import annotations

from math import ceil


def goes_wide(waiting: int, processors: int, wide_s: float | None, narrow_s: float | None) -> bool:
    """Whether the next of `waiting` pieces should have all processors.

    Args:
        waiting: pieces that could start now, at least 1.
        processors: that are all free.
        wide_s: predicted for it with all of them; None where nobody knows.
        narrow_s: with one of them; None where nobody knows, and then it is tried.
    """
    if processors == 1 or waiting == 1:
        return True
    if wide_s is None or narrow_s is None:
        return waiting < processors
    return waiting * wide_s <= ceil(waiting / processors) * narrow_s
