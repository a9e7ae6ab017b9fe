"""Which numbers of a map's window a tensor of the tail holds, and in which order.

At the native size the window is the whole of the last map. Each dimension of a tensor is written as
the axes that its positions count, outermost first; an axis of one cell is left out:

    the map (n, 8, 3, 3)          n  c  h  w
    flattened by torch            n  chw
    transposed to NHWC            n  h  w  c
    and flattened by Keras        n  hwc
    pooled, or contracted         n  c

So a weight over a flattened window knows which channel and cell each of its numbers is for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

AXES = "nchw"


class Extents(NamedTuple):
    """How many images, channels, rows and columns a window has."""

    n: int
    c: int
    h: int
    w: int

    def of(self, axes: str) -> int:
        """How many positions these axes count together."""
        return prod(self[AXES.index(axis)] for axis in axes)


@dataclass(frozen=True)
class Affine:
    """`scale * x + shift`, each (1, c, h, w) or broadcast to that, as `node` has it."""

    scale: NDArray[Any]
    shift: NDArray[Any]
    node: str

    def then(self, scale: NDArray[Any] | float, shift: NDArray[Any] | float) -> Affine:
        """Another one after this."""
        return replace(self, scale=self.scale * scale, shift=self.shift * scale + shift)


@dataclass(frozen=True)
class View:
    """A tensor of the tail at the native size: a window of `map`, a tensor of the new graph.

    `map` is (n, c, h', w') and has `cells` (h, w) at the native size; behind a pool that was
    dropped these are more than the window's. `root` is the last map of the classifier that it comes
    from. `bent` is the first node behind a dropped pool that is not linear. `owed` is still to be
    applied to the window: the weights that contract it will.
    """

    map: str
    dims: tuple[str, ...]
    extents: Extents
    cells: tuple[int, int]
    root: str
    bent: str | None = None
    owed: Affine | None = field(default=None, compare=False)

    @classmethod
    def of_map(cls, name: str, shape: Sequence[int]) -> View:
        """A map of the classifier, as it stands."""
        n, c, h, w = shape
        extents = Extents(n, c, h, w)
        return cls(name, tuple(_kept(axis, extents) for axis in AXES), extents, (h, w), name)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the tensor that this is a view of."""
        return tuple(map(self.extents.of, self.dims))

    @property
    def contracted(self) -> bool:
        """Whether its window is one cell."""
        return self.extents.h == self.extents.w == 1

    @property
    def per_cell(self) -> bool:
        """Whether a dropped pool left more cells than the classifier has answers."""
        return self.cells != (1, 1) and self.contracted

    def arranged(self, dims: Iterable[str]) -> View:
        """The same numbers in other dimensions."""
        return replace(self, dims=tuple(dims))

    def shrunk(self, axes: str, made: str, cells: tuple[int, int]) -> View:
        """The view whose window has one cell along these axes, in a map of its own."""
        extents = Extents(*(1 if a in axes else self.extents.of(a) for a in AXES))
        dims = tuple("".join(a for a in dim if a not in axes) for dim in self.dims)
        return replace(self, map=made, dims=dims, extents=extents, cells=cells)

    def with_channels(self, channels: int, dims: Iterable[str], made: str) -> View:
        """The view of a map of so many channels."""
        extents = self.extents._replace(c=channels)
        kept = ("".join(_kept(axis, extents) for axis in dim) for dim in dims)
        return replace(self, map=made, dims=tuple(kept), extents=extents)


def regrouped(view: View, shape: Sequence[int]) -> View | None:
    """The view after a reshape; None where it splits an axis."""
    axes = list("".join(view.dims))
    dims = []
    for size in shape:
        dim = ""
        while axes and view.extents.of(dim) < size:
            dim += axes.pop(0)
        if view.extents.of(dim) != size:
            return None
        dims.append(dim)
    return None if axes else view.arranged(dims)


def spread(view: View, value: NDArray[Any]) -> NDArray[Any] | None:
    """What is broadcast over a view, (n, c, h, w) with 1 where it is the same along an axis.

    None where it would make the view larger.
    """
    rank = len(view.dims)
    if value.ndim > rank and prod(value.shape[: value.ndim - rank]) > 1:
        return None
    aligned = value.reshape((1,) * (rank - value.ndim) + value.shape[-rank:] if rank else ())
    sizes: list[int] = []
    for size, dim in zip(aligned.shape, view.dims, strict=True):
        if size not in (1, view.extents.of(dim)):
            return None
        sizes += [view.extents.of(axis) if size > 1 else 1 for axis in dim]
    return ordered(aligned.reshape(sizes), "".join(view.dims))


def ordered(values: NDArray[Any], axes: str) -> NDArray[Any]:
    """An array with one dimension for each of `axes`, as (n, c, h, w)."""
    present = [axes.index(axis) for axis in AXES if axis in axes]
    sizes = [values.shape[axes.index(axis)] if axis in axes else 1 for axis in AXES]
    return np.ascontiguousarray(values.transpose(present).reshape(sizes))


def _kept(axis: str, extents: Extents) -> str:
    return axis if extents.of(axis) > 1 else ""
