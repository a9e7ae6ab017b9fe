"""Everything the analyzer says about one graph, as one value.

    analysis = analyze("model.onnx")
    analysis.sizes.height.verdict        # "free", "stepped" or "fixed"
    analysis.cost(451, 300).macs

The field names are those of the model card; `cost` can be asked at any size.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import lcm
from pathlib import Path

import onnx

from anyres_analyzer.cost.formula import FormulaModel
from anyres_analyzer.cost.model import CostModel
from anyres_analyzer.field.field import Field
from anyres_analyzer.field.propagation import Samples, propagate
from anyres_analyzer.field.rules import RULES
from anyres_analyzer.graph.graph import Graph
from anyres_analyzer.graph.reading import load
from anyres_analyzer.shapes.tensor import Tensors
from anyres_analyzer.shapes.walk import ShapeWalk
from anyres_analyzer.sizes.contract import AxisContract, SizeContract
from anyres_analyzer.sizes.head import explained
from anyres_analyzer.sizes.joint import Joint, joint_constraint
from anyres_analyzer.sizes.trial import Trial
from anyres_analyzer.sizes.witness import Witness, witnesses
from anyres_analyzer.tiling import rule as tiling
from anyres_analyzer.tiling.rule import Tiling
from anyres_analyzer.weights.kinds import Weight, weights

ROOM = 192  # pixels above the minimum that the samples have at least


@dataclass(frozen=True)
class AxisField:
    """Output pixel `i` reads the input pixels [stride * i + low, stride * i + high], at most.

    Exactly, outputs 0, 1, ... read the first and last pixels of `phases`, and so on, `advance`
    pixels further each time; what lies beyond the image is padding, or the border's pixel where a
    layer repeats it. `padding` is how far output 0 reaches before the image, negative where
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
class Input:
    """The image input: (n, channels, h, w) of an ONNX element type."""

    name: str
    channels: int
    elem_type: int
    dynamic_batch: bool


@dataclass(frozen=True)
class Output:
    """One output. Dense: pixel `i` is centred on input pixel stride * i + offset."""

    name: str
    channels: int
    dense: bool
    stride: tuple[Fraction, Fraction]
    offset: tuple[Fraction, Fraction]
    receptive_field: ReceptiveField | None  # None where it is the whole image, or unknown
    tiling: Tiling
    misaligned: tuple[str, ...]  # joins of paths that are centred on different pixels


@dataclass(frozen=True)
class Analysis:
    """What a graph tells about any image size."""

    graph: Graph
    shapes: ShapeWalk
    input: Input
    outputs: tuple[Output, ...]
    sizes: SizeContract
    joint: Joint | None  # where height and width are tied to each other
    witnesses: tuple[Witness, ...]  # sizes that show what the contract says
    weights: tuple[Weight, ...]
    cost: CostModel
    formula: FormulaModel
    periods: tuple[int, int]  # pixels after which the sampling lattices of H and W coincide

    @property
    def output(self) -> Output:
        """The first output: the one that is served."""
        return self.outputs[0]

    @property
    def receptive_field(self) -> ReceptiveField | None:
        """Of the first output."""
        return self.output.receptive_field

    @property
    def tiling(self) -> Tiling:
        """Of the first output."""
        return self.output.tiling

    @property
    def parameters(self) -> int:
        """Learned numbers in the graph, as it is (batch norm may be folded in)."""
        return sum(weight.parameters for weight in self.weights)


def analyze(source: Path | str | onnx.ModelProto) -> Analysis:
    """Analyse an ONNX file or model.

    Raises:
        NotAModel: it cannot be read as ONNX.
        UnsupportedGraph: it has no single image input, or nothing goes through it.
    """
    graph = load(source)
    walk = ShapeWalk(graph)
    trial = Trial(graph, walk)
    reference = trial.reference()
    periods = _periods(graph, walk, reference)
    sizes = trial.contract(reference, periods)
    samples = _samples(walk, sizes, periods)
    fields = tuple(propagate(graph, axis, samples, RULES) for axis in (0, 1))
    sizes = SizeContract(
        explained(sizes.height, graph, fields[0], trial.along_height(reference)),
        explained(sizes.width, graph, fields[1], trial.along_width(reference)),
    )
    joint = joint_constraint(trial, graph, sizes, fields)
    return Analysis(
        graph=graph,
        shapes=walk,
        input=_input(graph, samples.near),
        outputs=tuple(
            _output(output.name, samples.near, fields, sizes) for output in graph.outputs
        ),
        sizes=sizes,
        joint=joint,
        witnesses=witnesses(trial, graph, sizes, joint),
        weights=weights(graph, samples.near),
        cost=CostModel(graph, walk),
        formula=FormulaModel(graph, walk, sizes, periods),
        periods=periods,
    )


_NO_PIXELS = Field(dim=None)


def _periods(graph: Graph, walk: ShapeWalk, reference: tuple[int, int]) -> tuple[int, int]:
    """After how many pixels each axis's sampling lattices coincide, by the strides of its maps."""
    tensors = walk.at(*reference)
    samples = Samples(tensors, tensors, tensors)
    height, width = (
        tiling.strides(propagate(graph, axis, samples, RULES).values()) for axis in (0, 1)
    )
    return height, width


def _samples(walk: ShapeWalk, sizes: SizeContract, periods: tuple[int, int]) -> Samples:
    axes = [_three(axis, period) for axis, period in zip(_both(sizes), periods, strict=True)]
    near, far, odd = (walk.at(height, width) for height, width in zip(*axes, strict=True))
    return Samples(near, far, odd)


def _both(sizes: SizeContract) -> tuple[AxisContract, AxisContract]:
    return sizes.height, sizes.width


def _three(axis: AxisContract, period: int) -> tuple[int, int, int]:
    """Two sizes of the residue that tiles have, and one of another, all well above the minimum.

    Far, so that no window is clipped away and no two strided maps are of one size by rounding.
    """
    if axis.maximum is not None:
        return axis.minimum, axis.minimum, axis.maximum
    alignment = lcm(axis.step, period)
    near = axis.minimum % axis.step + alignment * -(-(axis.minimum + ROOM) // alignment)
    return near, near + 5 * alignment, near + alignment + 131 * axis.step


def _input(graph: Graph, tensors: Tensors) -> Input:
    image = graph.image
    channels = tensors[image.name].shape[1]
    return Input(image.name, channels, image.elem_type, not isinstance(image.dims[0], int))


def _output(
    name: str, tensors: Tensors, fields: tuple[dict[str, Field], ...], sizes: SizeContract
) -> Output:
    height, width = (by_tensor.get(name, _NO_PIXELS) for by_tensor in fields)
    shape = tensors[name].shape
    return Output(
        name,
        channels=shape[1] if len(shape) > 1 else 1,
        dense=len(shape) == 4 and (height.dim, width.dim) == (-2, -1),
        stride=(height.reach.scale, width.reach.scale),
        offset=(height.reach.centre, width.reach.centre),
        receptive_field=_receptive_field(height, width),
        tiling=Tiling(
            tiling.axis_tiling(height, fields[0].values(), sizes.height),
            tiling.axis_tiling(width, fields[1].values(), sizes.width),
            tiling.breakers((height, width), (sizes.height, sizes.width)),
        ),
        misaligned=tuple(map(str, dict.fromkeys((*height.misaligned, *width.misaligned)))),
    )


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
