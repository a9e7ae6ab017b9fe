"""Which sizes of an axis can be said in bioimage.io's words, and how much of a tile is halo there.

Their format has one rule for whole images and for tiles:

    input size = min + n * step         output size = floor(input size / stride) + offset

and a reader that cuts tiles crops `halo` output pixels from both ends of each, so that the cores
begin every `input size - 2 * stride * halo` pixels. Cores begin on our alignment A, for every n,
where step, min and stride * halo are all multiples of A. So where tiles can be exact,

    stride * halo = our larger halo, rounded up to A         min = A + 2 * stride * halo

(the output must be more than its halos) and step = A. Elsewhere only whole images are described,
with the smallest step for which one offset holds at all sizes.

Example: a U-Net of one level has A = 2 and needs 5 pixels on either side: halo 6, min 14, step 2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from math import floor, lcm
from typing import TypeAlias

from anyres_analyzer import Analysis
from anyres_analyzer.graph.layout import Layout
from anyres_analyzer.sizes.contract import AxisContract
from anyres_analyzer.tiling.rule import AxisTiling
from anyres_exporter.errors import NotExpressible

_FAR = 37  # periods above the minimum: what holds there too holds further up


@dataclass(frozen=True)
class Span:
    """An axis of the image in their words, and that of each output.

    `step` is 0 where the size is fixed; `halo` is in input pixels, None where the axis cannot be
    tiled; `offsets` are those of the outputs, 0 for outputs that are no maps. `unsaid` is what the
    words do not tell.
    """

    minimum: int
    step: int
    halo: int | None
    offsets: tuple[int, ...]
    unsaid: tuple[str, ...]


Offsets: TypeAlias = Callable[[int], tuple[int, ...]]


def span(analysis: Analysis, axis: int) -> Span:
    """The height (axis 0) or width (axis 1) of a model's image.

    Raises:
        NotExpressible: an output's size follows no such rule.
    """
    contract = (analysis.sizes.height, analysis.sizes.width)[axis]
    offsets = _offsets(analysis, axis)
    if contract.maximum is not None:
        return _fixed(contract, offsets)
    rules = tuple(_rules(analysis, axis))
    tiled = _tiled(contract, rules, offsets) if rules else None
    return tiled or _whole(contract, rules, offsets, lcm(contract.step, analysis.periods[axis]))


def _offsets(analysis: Analysis, axis: int) -> Offsets:
    """At a size, how much longer each output is than its share of the image."""
    other = (analysis.sizes.width, analysis.sizes.height)[axis].minimum

    @cache
    def at(size: int) -> tuple[int, ...]:
        tensors = analysis.shapes.at(*((size, other) if axis == 0 else (other, size)))
        return tuple(
            tensors[output.name].shape[Layout(output.layout).sides[axis]]
            - floor(size / output.stride[axis])
            if output.dense
            else 0
            for output in analysis.outputs
        )

    return at


def _rules(analysis: Analysis, axis: int) -> Iterator[AxisTiling]:
    """How each output's tiles are cut; none at all where one of them cannot be tiled."""
    found = [(output.tiling.height, output.tiling.width)[axis] for output in analysis.outputs]
    if None not in found:
        yield from (rule for rule in found if rule)


def _fixed(contract: AxisContract, offsets: Offsets) -> Span:
    size = contract.minimum
    more = contract.maximum != size
    unsaid = (f"the model takes {contract.expected()}; said is {size} alone",) if more else ()
    return Span(size, 0, None, offsets(size), unsaid)


def _tiled(contract: AxisContract, rules: tuple[AxisTiling, ...], offsets: Offsets) -> Span | None:
    """The sizes at which tiles are exact; None where there are none in their sense."""
    alignment = lcm(*(rule.alignment for rule in rules))
    before = max(rule.halo_before for rule in rules)
    after = max(rule.halo_after for rule in rules)
    halo = _up(max(before, after), alignment)
    minimum = _up(max(contract.minimum, alignment + 2 * halo), alignment)
    sizes = [minimum + k * alignment for k in (0, 1, 2, _FAR)]
    if not all(map(contract.admits, sizes)) or any(any(offsets(size)) for size in sizes):
        return None
    unsaid = _narrower(contract, minimum, alignment)
    if halo:
        unsaid += (
            f"a core needs {before} px before it and {after} after, and none beyond the image's "
            "edge: what is padded there changes the outputs near it",
        )
    return Span(minimum, alignment, halo, offsets(minimum), unsaid)


def _whole(
    contract: AxisContract, rules: tuple[AxisTiling, ...], offsets: Offsets, period: int
) -> Span:
    """The smallest step for which one offset holds at all sizes."""
    unsaid = ("tiles can be exact, but not with one halo for both sides",) if rules else ()
    for step in (n for n in range(contract.step, period + 1, contract.step) if period % n == 0):
        minimum = next(filter(contract.admits, (_up(contract.minimum, step), contract.minimum)))
        sizes = [minimum + k * step for k in (*range(period // step + 2), _FAR * period)]
        if len(set(map(offsets, sizes))) == 1:
            unsaid = (*_narrower(contract, minimum, step), *unsaid)
            return Span(minimum, step, None, offsets(minimum), unsaid)
    raise NotExpressible(
        "bioimage.io has no words for this model: an output's size is not "
        "floor(size / stride) + offset, for no step of sizes"
    )


def _narrower(contract: AxisContract, minimum: int, step: int) -> tuple[str, ...]:
    """What the model takes besides the sizes that are said."""
    if (minimum, step) == (contract.minimum, contract.step):
        return ()
    return (f"the model takes {contract.expected()}; said are {minimum}, {minimum + step}, ...",)


def _up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
