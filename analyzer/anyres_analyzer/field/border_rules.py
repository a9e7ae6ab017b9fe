"""Pad and Slice: what happens at the image's borders, seen from inside.

What is added or cut at the beginning shifts the reach; what happens at the end only changes how
many cells there are, which `Field.cover` follows by itself. Reflected padding makes the outputs at
a border read pixels on this side of it, so a tile that has that border must be long enough.

A Gather pads too, where it picks every cell in its order, and before the first and behind the last
some of them again:

    cells  0 1 2 3      picks  2 1 | 0 1 2 3 | 2 1 0
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil

from anyres_analyzer.field import reach
from anyres_analyzer.field.field import Field
from anyres_analyzer.field.propagation import Call


def padded(call: Call) -> Field:
    """Pad: what it puts before the image shifts the reach; what it adds after does not."""
    image = call.image
    if image.dim is None:
        return image
    mode = call.node.attributes.get("mode", b"constant")
    if mode == b"wrap":
        return image.broken(call.node, "it wraps the image around", dim=image.dim)
    pads = _pads(call)
    befores = {before for before, _ in pads}
    if len(befores) != 1:
        return image.broken(
            call.node, "its padding at the beginning depends on the size", dim=image.dim
        )
    if mode != b"constant":
        image = _mirrored(call, max(p for pad in pads for p in pad) if mode == b"reflect" else 0)
    return image.through(reach.shift(-befores.pop()), call.node)


def repeated(call: Call) -> Field | None:
    """Gather along the axis, where it pads; None where it does something else.

    At the sizes that tiles have nothing may be missing at the end, so it is the size of another
    residue that tells what a tile must hold. Of too many indices the values are not known.
    """
    assert call.image.dim is not None, "the caller has looked"
    cells_at, picks_at = call.node.inputs[:2]
    known = [
        _repeats(value.reshape(-1).tolist(), tensors[cells_at].shape[call.image.dim])
        for tensors in call.samples
        if (value := tensors[picks_at].value) is not None
    ]
    if len(known) < 2 or None in known:
        return None
    found = [each for each in known if each is not None]
    if len({each.before for each in found}) != 1:
        return None
    deepest = max(each.deepest for each in found)
    return _mirrored(call, deepest).through(reach.shift(-found[0].before), call.node)


@dataclass(frozen=True)
class _Repeats:
    """How many picks come before cell 0, and how far from its border any other pick reads."""

    before: int
    deepest: int


def _repeats(picks: list[int], cells: int) -> _Repeats | None:
    """What is picked beside all cells in their order; None where they are not all there."""
    every = list(range(cells))
    starts = (i for i, pick in enumerate(picks) if pick == 0 and picks[i : i + cells] == every)
    before = next(starts, None)
    if before is None:
        return None
    ahead, behind = picks[:before], picks[before + cells :]
    depths = [*ahead, *(cells - 1 - pick for pick in behind)]
    return _Repeats(before, max(depths, default=0))


def _pads(call: Call) -> set[tuple[int, int]]:
    """What is put before and after the axis at each size; empty where it is not known."""
    assert call.image.dim is not None, "the caller has looked"
    position = call.rank + call.image.dim
    attribute = call.node.attributes.get("pads")
    found = (tuple(attribute),) if attribute else call.values(1)
    axes = call.constant(3) or tuple(range(call.rank))
    positions = [int(axis) % call.rank for axis in axes]
    if position not in positions:
        return {(0, 0)}
    index = positions.index(position)
    return {(int(pads[index]), int(pads[index + len(positions)])) for pads in found}


def _mirrored(call: Call, pad: int) -> Field:
    """The outermost outputs read cell `pad` and its like at the end: a tile must hold them.

    `S * n - N` differs by less than S between sizes, which bounds where the last cell lies.
    """
    image, surplus = call.image, call.surplus or Fraction(0)
    stride = image.reach.scale
    before = stride * (pad + 2) - image.cover.low - 2 - surplus
    length = stride * pad + image.cover.high + 1
    return image.mirrored(ceil(before), ceil(length))


def sliced(call: Call) -> Field:
    """Slice: a constant start shifts the reach, a step scales it, the end does not matter."""
    image = call.image
    if image.dim is None:
        return image
    starts = call.node.attributes.get("starts") or call.constant(1)
    if starts is None:
        return image.broken(call.node, "its start depends on the size", dim=image.dim)
    axes = call.node.attributes.get("axes") or call.constant(3) or range(len(starts))
    steps = call.constant(4) or (1,) * len(starts)
    positions = [int(axis) % call.rank for axis in axes]
    if call.rank + image.dim not in positions:
        return image
    index = positions.index(call.rank + image.dim)
    start, step = int(starts[index]), int(steps[index])
    if start < 0 or step < 1:
        return image.broken(call.node, "it counts from the far end", dim=image.dim)
    return image.through(reach.window(1, step, 1, -start), call.node)
