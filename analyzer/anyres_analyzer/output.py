"""One output of a graph: what it is, what its pixels see, and how it may be cut into tiles."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from onnx import helper

from anyres_analyzer.answer import answer_of, layout_of
from anyres_analyzer.field.breaker import Effect
from anyres_analyzer.field.field import Field
from anyres_analyzer.graph.graph import Graph
from anyres_analyzer.graph.layout import NCHW
from anyres_analyzer.shapes.tensor import Tensors
from anyres_analyzer.sizes.contract import SizeContract
from anyres_analyzer.tiling import rule as tiling
from anyres_analyzer.tiling.rule import Tiling


@dataclass(frozen=True)
class AxisField:
    """Output pixel `i` reads the input pixels [stride * i + low, stride * i + high], at most.

    Exactly, outputs 0, 1, ... read the first and last pixels of `phases`, and so on, `advance`
    pixels further each time. `padding` is how far output 0 reaches before the image, negative where
    it begins inside.
    """

    size: int
    stride: Fraction
    low: Fraction
    high: Fraction
    padding: int
    offset: Fraction
    phases: tuple[tuple[int, int], ...]
    advance: int


@dataclass(frozen=True)
class ReceptiveField:
    """Both axes."""

    height: AxisField
    width: AxisField


@dataclass(frozen=True)
class Output:
    """One output. Dense: pixel `i` is centred on input pixel stride * i + offset.

    `meaning`, `classes` and `source` are told in `answer`. A map without channels has one.
    """

    name: str
    meaning: str
    classes: int | None
    source: str
    dtype: str  # numpy's name
    layout: str  # NCHW, NHWC or NHW; of what is no map, NCHW as far as it goes
    channels: int
    dense: bool
    stride: tuple[Fraction, Fraction]
    offset: tuple[Fraction, Fraction]
    receptive_field: ReceptiveField | None  # None where it is the whole image, or unknown
    tiling: Tiling
    misaligned: tuple[str, ...]  # joins of paths that are centred on different pixels
    accidents: tuple[str, ...]  # joins of paths of different strides, legal at some sizes by chance


_NO_PIXELS = Field(dim=None)


def output_of(
    name: str,
    graph: Graph,
    tensors: Tensors,
    fields: tuple[dict[str, Field], ...],
    sizes: SizeContract,
) -> Output:
    """The output of this name, from its fields along H and W."""
    height, width = (by_tensor.get(name, _NO_PIXELS) for by_tensor in fields)
    shape = tensors[name].shape
    layout = layout_of(shape, (height, width))
    channels = (layout or NCHW).channels
    answer = answer_of(name, graph, tensors, fields)
    return Output(
        name,
        meaning=answer.meaning,
        classes=answer.classes,
        source=answer.source,
        dtype=helper.tensor_dtype_to_np_dtype(tensors[name].elem_type).name,
        layout=(layout or NCHW).name,
        channels=shape[channels] if channels is not None and len(shape) > channels else 1,
        dense=layout is not None,
        stride=(height.reach.scale, width.reach.scale),
        offset=(height.reach.centre, width.reach.centre),
        receptive_field=_receptive_field(height, width),
        tiling=Tiling(
            tiling.axis_tiling(height, fields[0].values(), sizes.height),
            tiling.axis_tiling(width, fields[1].values(), sizes.width),
            tiling.breakers((height, width), (sizes.height, sizes.width)),
        ),
        accidents=_accidents(height, width),
        misaligned=tuple(map(str, dict.fromkeys((*height.misaligned, *width.misaligned)))),
    )


def _accidents(height: Field, width: Field) -> tuple[str, ...]:
    met = (b for field in (height, width) for b in field.breakers if b.effect is Effect.STRIDES)
    return tuple(dict.fromkeys(map(str, met)))


def _receptive_field(height: Field, width: Field) -> ReceptiveField | None:
    if not (height.local and width.local):
        return None
    return ReceptiveField(_axis_field(height), _axis_field(width))


def _axis_field(field: Field) -> AxisField:
    reach = field.reach
    return AxisField(
        size=reach.size,
        stride=reach.scale,
        low=reach.low,
        high=reach.high,
        padding=-reach.phases[0][0],
        offset=reach.centre,
        phases=reach.phases,
        advance=reach.advance,
    )
