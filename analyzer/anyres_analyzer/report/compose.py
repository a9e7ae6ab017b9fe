"""Puts an analysis into the facts of a report."""

from __future__ import annotations

from collections.abc import Iterable

from onnx import TensorProto

from anyres_analyzer import output as analysed
from anyres_analyzer.analysis import Analysis
from anyres_analyzer.cost.formula import Formula, Polynomial
from anyres_analyzer.cost.macs import macs
from anyres_analyzer.errors import Inadmissible
from anyres_analyzer.graph.layout import Layout
from anyres_analyzer.report import facts
from anyres_analyzer.report.facts import Report, Size
from anyres_analyzer.report.findings import findings
from anyres_analyzer.sizes.contract import AxisContract
from anyres_analyzer.tiling.rule import AxisTiling
from anyres_analyzer.weights.growth import ParametersBySize, parameters_by_size
from anyres_analyzer.weights.kinds import KINDS

USUAL_SIDES = (224, 512)


def report(name: str, analysis: Analysis, sizes: Iterable[Size] = ()) -> Report:
    """The whole report; `sizes` are (width, height), by default two that the model takes."""
    asked = tuple(sizes) or usual_sizes(analysis)
    return Report(
        model=name,
        opset=analysis.graph.opset,
        nodes=len(analysis.graph.nodes),
        input=_input(analysis),
        height=_axis(analysis.sizes.height),
        width=_axis(analysis.sizes.width),
        joint=_joint(analysis),
        witnesses=tuple(
            facts.Witness((w.width, w.height), w.shows, w.why, None) for w in analysis.witnesses
        ),
        findings=findings(analysis),
        outputs=tuple(_output(output) for output in analysis.outputs),
        tile_checks=(),
        parameters=analysis.parameters,
        kinds=_kinds(analysis),
        growth=_growth(analysis, asked),
        mixing=None,
        layers=_layers(analysis, asked),
        formula=_formula(analysis, asked),
        costs=tuple(cost_at(analysis, size) for size in asked),
    )


def usual_sizes(analysis: Analysis) -> tuple[Size, ...]:
    """Two squares that the model takes, or the one size that it was made for."""
    axes = analysis.sizes.width, analysis.sizes.height
    found = ((axes[0].at_least(side), axes[1].at_least(side)) for side in USUAL_SIDES)
    return tuple(dict.fromkeys(found))


def cost_at(analysis: Analysis, size: Size) -> facts.Cost:
    """What one image of a size costs, or why the model does not take it."""
    width, height = size
    refused = _refused(analysis, size)
    if refused is None:
        try:
            cost = analysis.cost(height, width)
        except Inadmissible as refusal:
            refused = str(refusal)
        else:
            memory = analysis.runtime_memory(height, width)
            return facts.Cost(
                size=size,
                refused=None,
                macs=cost.macs,
                activation_bytes=cost.activation_bytes,
                peak_node=cost.peak_node,
                runtime_bytes=memory.arena_off_bytes,
                arena_bytes=memory.arena_on_bytes,
                output_shape=cost.output_shape,
                answers=_grid(analysis, cost.output_shape),
            )
    return facts.Cost(size, refused, None, None, None, None, None, None, None)


def _grid(analysis: Analysis, shape: tuple[int, ...]) -> Size | None:
    """Answers across and down; those of a map that is no map of the image, as far as it is one."""
    layout = Layout(analysis.output.layout)
    return layout.grid(shape)[::-1] if len(shape) == len(layout.name) else None


def _input(analysis: Analysis) -> facts.Input:
    image = analysis.input
    elem_type = TensorProto.DataType.Name(image.elem_type).lower()
    return facts.Input(
        image.name, image.channels, elem_type, image.layout, analysis.graph.image.dims
    )


def _axis(axis: AxisContract) -> facts.Axis:
    return facts.Axis(
        verdict=axis.verdict,
        minimum=axis.minimum,
        step=axis.step,
        maximum=axis.maximum,
        node=axis.node,
        reason=axis.reason,
        also=tuple((further.minimum, further.step) for further in axis.also),
    )


def _joint(analysis: Analysis) -> facts.Joint | None:
    joint = analysis.joint
    if joint is None:
        return None
    height, width = joint.accepted
    return facts.Joint(joint.node, joint.product, joint.map, (width, height))


def _output(output: analysed.Output) -> facts.Output:
    field, tiling = output.receptive_field, output.tiling
    return facts.Output(
        name=output.name,
        meaning=output.meaning,
        type=output.dtype,
        layout=output.layout,
        channels=output.channels,
        dense=output.dense,
        field_height=_field(field.height) if field else None,
        field_width=_field(field.width) if field else None,
        tiling_height=_tiling(tiling.height),
        tiling_width=_tiling(tiling.width),
        breakers=tiling.breakers,
        misaligned=output.misaligned,
    )


def _field(field: analysed.AxisField) -> facts.AxisField:
    return facts.AxisField(
        size=field.size,
        stride=field.stride,
        padding=field.padding,
        offset=field.offset,
        low=field.low,
        high=field.high,
        phases=field.phases,
        repeats=field.advance,
    )


def _tiling(axis: AxisTiling | None) -> facts.AxisTiling | None:
    if axis is None:
        return None
    return facts.AxisTiling(axis.alignment, axis.halo_before, axis.halo_after, axis.minimum_tile)


def _kinds(analysis: Analysis) -> tuple[facts.Kind, ...]:
    of_kind = {kind: [w for w in analysis.weights if w.kind == kind] for kind in KINDS}
    return tuple(
        facts.Kind(kind, len(found), sum(w.parameters for w in found))
        for kind, found in of_kind.items()
        if found
    )


def _growth(analysis: Analysis, sizes: tuple[Size, ...]) -> tuple[ParametersBySize, ...]:
    """At the sizes asked for, and at twice the first."""
    width, height = sizes[0]
    asked = dict.fromkeys((*sizes, (2 * width, 2 * height)))
    return tuple(grown for size in asked for grown in _grown(analysis, size))


def _grown(analysis: Analysis, size: Size) -> tuple[ParametersBySize, ...]:
    """Nothing where the size does not even reach the first FC layer."""
    try:
        return parameters_by_size(analysis, [size])
    except Inadmissible:
        return ()


def _layers(analysis: Analysis, sizes: tuple[Size, ...]) -> tuple[facts.Layer, ...]:
    """Nodes that hold parameters or multiply, at the first size that goes through."""
    width, height = next((size for size in sizes if _refused(analysis, size) is None), (0, 0))
    if not width:
        width, height = usual_sizes(analysis)[0]
    tensors = analysis.shapes.at(height, width)
    weights = {weight.node: weight for weight in analysis.weights}
    layers = []
    for node in analysis.graph.nodes:
        weight, work = weights.get(node.label), macs(node, tensors)
        if weight is None and not work:
            continue
        kind, parameters = (weight.kind, weight.parameters) if weight else ("no parameters", 0)
        shape = tensors[node.made[0]].shape
        layers.append(facts.Layer(node.label, node.op_type, kind, parameters, shape, work))
    return tuple(layers)


def _formula(analysis: Analysis, sizes: tuple[Size, ...]) -> facts.Formula | None:
    """Of the first size that goes through and has one."""
    taken = (size for size in sizes if _refused(analysis, size) is None)
    found = (analysis.formula(height, width) for width, height in taken)
    return next((_written(formula) for formula in found if formula), None)


def _written(formula: Formula) -> facts.Formula:
    (height, width), (period_h, period_w) = formula.lattice.start, formula.lattice.period
    return facts.Formula(
        period=(period_w, period_h),
        remainder=(width % period_w, height % period_h),
        minimum=(width, height),
        macs=_terms(formula.macs),
        tensor_bytes=_terms(formula.tensor_bytes),
        peak=tuple(facts.Piece(m.node, _terms(m.activation_bytes)) for m in formula.moments),
    )


def _terms(polynomial: Polynomial) -> tuple[facts.Term, ...]:
    return tuple(
        facts.Term(coefficient, height, width)
        for (height, width), coefficient in polynomial.monomials().items()
    )


def _refused(analysis: Analysis, size: Size) -> str | None:
    """What the contract says against a size, even one that the graph would swallow."""
    axes = (("width", analysis.sizes.width), ("height", analysis.sizes.height))
    for (name, axis), pixels in zip(axes, size, strict=True):
        if not axis.admits(pixels):
            where = f"node {axis.node}: " if axis.node else ""
            return f"{name} {pixels} is not admitted; {where}{axis.reason}"
    return None
