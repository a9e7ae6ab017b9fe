"""Back from a map to the image: which sizes make a map of so many cells."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable

MOST = 2**16  # pixels along one axis


def sizes_giving(cells: int, extent: Callable[[int], int]) -> range:
    """The sizes of which a map is `cells` long; maps never shrink as images grow.

    Example: two pools of stride 2 make 3 cells of 12, 13, 14 and 15 pixels.
    """
    bound = 1
    while extent(bound) <= cells and bound < MOST:
        bound *= 2
    sizes = range(1, bound + 1)
    first = bisect_left(sizes, cells, key=extent)
    behind = bisect_left(sizes, cells + 1, key=extent)
    return sizes[first:behind]
