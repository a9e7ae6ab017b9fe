"""Everything the analyzer says about one graph, as one value.

    analysis = analyze("model.onnx")
    analysis.sizes.height.verdict        # "free", "stepped" or "fixed"
    analysis.cost(451, 300).macs

The field names are those of the model card; `cost` can be asked at any size.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import lcm
from pathlib import Path

import onnx
from onnx import helper

from anyres_analyzer.cost.formula import FormulaModel
from anyres_analyzer.cost.model import CostModel
from anyres_analyzer.cost.runtime.memory import RuntimeMemory, predict
from anyres_analyzer.cost.separable import SeparableCostModel
from anyres_analyzer.field.propagation import Samples, propagate
from anyres_analyzer.field.rules import RULES
from anyres_analyzer.graph.graph import Graph
from anyres_analyzer.graph.reading import load
from anyres_analyzer.output import Output, ReceptiveField, output_of
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
class Input:
    """The image input: in a layout (NCHW or NHWC), of an ONNX element type, numpy's `dtype`."""

    name: str
    channels: int
    elem_type: int
    dtype: str
    layout: str
    dynamic_batch: bool


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
    cost_of_any: SeparableCostModel  # the same answers, at once
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

    def runtime_memory(self, height: int, width: int) -> RuntimeMemory:
        """What ONNX Runtime takes for one image of this size.

        Raises:
            Inadmissible: the graph does not take it.
        """
        return predict(self.graph, self.shapes.at(height, width))

    @property
    def parameters(self) -> int:
        """Learned numbers in the graph, as it is: an export may have folded a batch norm in."""
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
    cost = CostModel(graph, walk)
    return Analysis(
        graph=graph,
        shapes=walk,
        input=_input(graph),
        outputs=tuple(
            output_of(output.name, graph, samples.near, fields, sizes) for output in graph.outputs
        ),
        sizes=sizes,
        joint=joint,
        witnesses=witnesses(trial, graph, sizes, joint),
        weights=weights(graph, samples.near),
        cost=cost,
        cost_of_any=SeparableCostModel(graph, walk, cost, sizes, periods),
        formula=FormulaModel(graph, walk, sizes, periods),
        periods=periods,
    )


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
    """Two sizes of the residue that tiles have, and one of the next, all well above the minimum.

    Far, so that no window is clipped away and no two strided maps are of one size by rounding. The
    next, since there a graph that pads to a multiple pads most.
    """
    if axis.maximum is not None:
        return axis.minimum, axis.minimum, axis.maximum
    alignment = lcm(axis.step, period)
    near = axis.minimum % axis.step + alignment * -(-(axis.minimum + ROOM) // alignment)
    odd = near + alignment * -(-(alignment + 131 * axis.step) // alignment) + axis.step
    return near, near + 5 * alignment, odd


def _input(graph: Graph) -> Input:
    image = graph.image
    return Input(
        image.name,
        channels=graph.channels,
        elem_type=image.elem_type,
        dtype=helper.tensor_dtype_to_np_dtype(image.elem_type).name,
        layout=graph.layout.name,
        dynamic_batch=not isinstance(image.dims[0], int),
    )
