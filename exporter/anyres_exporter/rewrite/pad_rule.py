"""What a network needs around it to take every size: how much to pad, and what to crop.

Two kinds of network are stepped, or have a minimum.

A network whose output covers the image (a padded U-Net) only needs a size that it takes. Pixels are
added after the image alone, so positions do not move, and to an image of such a size nothing is
added at all:

    image   |..............|~~~~|           ceil(size / S) answers are kept
            0            size   minimum + k * step

A network without padding of its own (the U-Net of Ronneberger et al., 2015: 572 gives 388) answers
for the middle of the image alone, and for none of a small one. It is given more on both sides, as
the paper's overlap-tile strategy does, so that it answers for every pixel:

    image   |~~~~|..............|~~~~~~~|   the first `start` answers lie before the image
            <before>   size     <-after->

`before` is a multiple of the alignment, after which all sampling lattices of the network coincide.
So its own answers, those that see no padding, are what they were, each in its place.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor, lcm
from typing import Literal, TypeAlias

from anyres_analyzer import Analysis
from anyres_analyzer.graph.layout import NCHW, Layout
from anyres_analyzer.output import Output
from anyres_analyzer.sizes.contract import AxisContract
from anyres_exporter.errors import NotProven
from anyres_proto.card import AxisPadding, Padding

PadMode: TypeAlias = Literal["reflect", "edge", "constant"]


@dataclass(frozen=True)
class AxisCrop:
    """Of one output along one axis: `start` to start + ceil(size / stride) + further are kept."""

    stride: Fraction = Fraction(1)
    start: int = 0
    further: int = 0

    def stop(self, size: int) -> int:
        """Behind the last answer that is kept, of an image of this size; there may be fewer."""
        return self.start + ceil(size / self.stride) + self.further


@dataclass(frozen=True)
class Crop:
    """What is kept of one output; `sides` are its dimensions of height and width."""

    output: str
    height: AxisCrop
    width: AxisCrop
    sides: tuple[int, int] = (-2, -1)


@dataclass(frozen=True)
class PadRule:
    """What is put around an image, and what is kept of each output, in the graph's order."""

    padding: Padding
    crops: tuple[Crop, ...]

    def pads(self, height: int, width: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """Pixels (before, after) of both axes for an image of this size."""
        axes = (self.padding.height, self.padding.width)
        missing = (axis.missing(size) for axis, size in zip(axes, (height, width), strict=True))
        (top, bottom), (left, right) = (
            (axis.before, all_of_it - axis.before)
            for axis, all_of_it in zip(axes, missing, strict=True)
        )
        return (top, bottom), (left, right)


def pad_rule(analysis: Analysis, mode: PadMode) -> PadRule | None:
    """The rule that opens a network to every size; None where it takes every size already.

    Raises:
        NotProven: no padding can do that, and which node is in the way.
    """
    height, width = analysis.sizes.height, analysis.sizes.width
    if all((axis.minimum, axis.step, axis.maximum) == (1, 1, None) for axis in (height, width)):
        return None
    _refuse_what_padding_cannot_open(analysis)
    tall, wide = (_Axis.of(analysis, index) for index in (0, 1))
    return PadRule(
        Padding(height=tall.padding(), width=wide.padding(), mode=mode),
        tuple(
            Crop(output.name, vertical, horizontal, Layout(output.layout).sides)
            for output, vertical, horizontal in zip(
                analysis.outputs, tall.crops(), wide.crops(), strict=True
            )
        ),
    )


@dataclass(frozen=True)
class _Map:
    """One output along one axis; it has ceil(size / stride) + surplus cells.

    The surplus is the same at all sizes of a residue; these are the least and the most of it.
    """

    stride: Fraction
    offset: Fraction
    least: int
    most: int

    @property
    def misses(self) -> bool:
        """Whether it has fewer cells than the image at every size."""
        return self.most < 0

    @property
    def begins(self) -> Fraction:
        """How many pixels of the image lie before the ones that its first cell stands for."""
        return self.offset - self.stride + Fraction(1, 2)


@dataclass(frozen=True)
class _Axis:
    """One axis of a network, and its outputs along it."""

    sizes: AxisContract
    alignment: int
    maps: tuple[_Map, ...]

    @classmethod
    def of(cls, analysis: Analysis, index: int) -> _Axis:
        """Axis 0 is H, 1 is W."""
        contract = (analysis.sizes.height, analysis.sizes.width)[index]
        alignment = lcm(contract.step, analysis.periods[index])
        return cls(contract, alignment, tuple(_maps(analysis, index, alignment)))

    @property
    def before(self) -> int:
        """Pixels before the image, on the alignment."""
        if not any(output.misses for output in self.maps):
            return 0
        needed = max(floor(output.begins) + 1 for output in self.maps)
        return self.alignment * max(0, -(-needed // self.alignment))

    def crops(self) -> tuple[AxisCrop, ...]:
        """What is kept of each output.

        Where something is put before the image, cell 0 is to be centred on -1/2 to S - 1/2.
        """
        if not any(output.misses for output in self.maps):
            return tuple(AxisCrop(output.stride, 0, output.most) for output in self.maps)
        return tuple(
            AxisCrop(
                output.stride,
                max(0, ceil((self.before - output.offset - Fraction(1, 2)) / output.stride)),
            )
            for output in self.maps
        )

    def padding(self) -> AxisPadding:
        """ceil((size + S * m) / S) = ceil(size / S) + m says how much more gives m more cells."""
        more = self.before
        if any(output.misses for output in self.maps):
            lacking = (
                ceil(output.stride * (crop.start - output.least))
                for output, crop in zip(self.maps, self.crops(), strict=True)
            )
            more = max(more, *lacking)
        return AxisPadding(
            step=self.sizes.step, minimum=self.sizes.minimum, before=self.before, more=more
        )


def _maps(analysis: Analysis, index: int, alignment: int) -> Iterator[_Map]:
    """Every output along one axis, its surplus found by trying all residues of its lattice."""
    axes = (analysis.sizes.height, analysis.sizes.width)
    sizes, other = axes[index], axes[1 - index].at_least(alignment)
    first = sizes.at_least(alignment)
    for output in analysis.outputs:
        stride = output.stride[index]
        tried = range(first, first + lcm(sizes.step, stride.numerator), sizes.step)
        surpluses = [
            _cells(analysis, output, index, size, other) - ceil(size / stride) for size in tried
        ]
        yield _Map(stride, output.offset[index], min(surpluses), max(surpluses))


def _cells(analysis: Analysis, output: Output, index: int, size: int, other: int) -> int:
    image = (size, other) if index == 0 else (other, size)
    return Layout(output.layout).grid(analysis.shapes.at(*image)[output.name].shape)[index]


def _refuse_what_padding_cannot_open(analysis: Analysis) -> None:
    if analysis.input.layout != NCHW.name:
        raise NotProven(
            f"padding is put before a network that takes {NCHW.name}; this one takes "
            f"{analysis.input.layout}: pad first, and give it its other layout after"
        )
    for name, axis in (("H", analysis.sizes.height), ("W", analysis.sizes.width)):
        if axis.maximum is not None:
            raise NotProven(
                f"padding cannot open {name}: it takes {axis.expected()} only, because of node "
                f"{axis.node}: {axis.reason}",
                axis.node,
            )
    for output in analysis.outputs:
        if not output.dense:
            breaker = next(iter(output.tiling.breakers), None)
            raise NotProven(
                f"padding would change output '{output.name}': it is no map that can be cropped "
                "back, so the pixels that are added would stay in its answer"
                + (f" ({breaker})" if breaker else ""),
                breaker,
            )
