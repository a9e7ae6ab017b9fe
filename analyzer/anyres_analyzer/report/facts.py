"""What `anyres analyze` says of a model, as one JSON object; `view` draws it for a terminal.

    model            the file's name
    opset, nodes     version of the standard operators; operator calls
    input            name, channels, type, dynamic_batch
    output           name, channels, dense; stride and offset [H, W] of a dense one: its pixel i is
                     centred on input pixel stride * i + offset
    sizes            height, width: verdict (free, stepped, fixed, unknown), minimum, step, maximum
                     (null: none), node that decides (null: none) and reason
    receptive_field  height, width: size, stride, low, high: output pixel i reads input pixels
                     [stride * i + low, stride * i + high]; null where it is the whole image
    tiling           exact; height, width: alignment, halo_before, halo_after (null: no tiles);
                     breakers: the nodes that forbid tiles, each with its reason
    parameters       total; by_kind: kind, layers, parameters
    costs            for each size asked for: width, height, and either macs, activation_bytes,
                     peak_node and output_shape, or refused: why it does not go through

Fractions are strings ("1/2", "16"); everything else is an exact integer, a string or a boolean.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import TypeAlias

from onnx import TensorProto

from anyres_analyzer.analysis import Analysis, AxisField
from anyres_analyzer.errors import Inadmissible
from anyres_analyzer.sizes.contract import AxisContract
from anyres_analyzer.tiling.rule import AxisTiling
from anyres_analyzer.weights.kinds import KINDS

Json: TypeAlias = "bool | int | str | list[Json] | dict[str, Json] | None"
Size: TypeAlias = tuple[int, int]  # width, height, as image people write it

USUAL_SIDES = (224, 512)


def report(name: str, analysis: Analysis, sizes: Iterable[Size] = ()) -> dict[str, Json]:
    """The whole report; `sizes` are (width, height), by default two that the model takes."""
    return {
        "model": name,
        "opset": analysis.opset,
        "nodes": analysis.nodes,
        "input": _input(analysis),
        "output": _output(analysis),
        "sizes": {
            "height": _contract(analysis.sizes.height),
            "width": _contract(analysis.sizes.width),
        },
        "receptive_field": _receptive_field(analysis),
        "tiling": {
            "exact": None not in (analysis.tiling.height, analysis.tiling.width),
            "height": _tiling(analysis.tiling.height),
            "width": _tiling(analysis.tiling.width),
            "breakers": list(analysis.tiling.breakers),
        },
        "parameters": {"total": analysis.parameters, "by_kind": _by_kind(analysis)},
        "costs": [_cost(analysis, size) for size in sizes or usual_sizes(analysis)],
    }


def usual_sizes(analysis: Analysis) -> tuple[Size, ...]:
    """Two squares that the model takes, or the one size that it was made for."""
    axes = analysis.sizes.width, analysis.sizes.height
    found = ((_at_least(side, axes[0]), _at_least(side, axes[1])) for side in USUAL_SIDES)
    return tuple(dict.fromkeys(found))


def _at_least(side: int, axis: AxisContract) -> int:
    steps = max(0, -(-(side - axis.minimum) // axis.step))
    size = axis.minimum + steps * axis.step
    return size if axis.maximum is None else min(size, axis.maximum)


def _input(analysis: Analysis) -> dict[str, Json]:
    image = analysis.input
    return {
        "name": image.name,
        "channels": image.channels,
        "type": TensorProto.DataType.Name(image.elem_type).lower(),
        "dynamic_batch": image.dynamic_batch,
    }


def _output(analysis: Analysis) -> dict[str, Json]:
    output = analysis.output
    return {
        "name": output.name,
        "channels": output.channels,
        "dense": output.dense,
        "stride": [_fraction(value) for value in output.stride] if output.dense else None,
        "offset": [_fraction(value) for value in output.offset] if output.dense else None,
    }


def _contract(axis: AxisContract) -> dict[str, Json]:
    return {
        "verdict": axis.verdict,
        "minimum": axis.minimum,
        "step": axis.step,
        "maximum": axis.maximum,
        "node": axis.node,
        "reason": axis.reason,
    }


def _receptive_field(analysis: Analysis) -> Json:
    field = analysis.receptive_field
    if field is None:
        return None
    return {"height": _axis_field(field.height), "width": _axis_field(field.width)}


def _axis_field(field: AxisField) -> dict[str, Json]:
    return {
        "size": field.size,
        "stride": _fraction(field.stride),
        "low": _fraction(field.low),
        "high": _fraction(field.high),
    }


def _fraction(value: Fraction) -> Json:
    return str(value)


def _tiling(axis: AxisTiling | None) -> Json:
    if axis is None:
        return None
    return {
        "alignment": axis.alignment,
        "halo_before": axis.halo_before,
        "halo_after": axis.halo_after,
    }


def _by_kind(analysis: Analysis) -> list[Json]:
    kinds = [(kind, [w for w in analysis.weights if w.kind == kind]) for kind in KINDS]
    return [
        {"kind": kind, "layers": len(found), "parameters": sum(w.parameters for w in found)}
        for kind, found in kinds
        if found
    ]


def _cost(analysis: Analysis, size: Size) -> dict[str, Json]:
    width, height = size
    asked: dict[str, Json] = {"width": width, "height": height}
    refused = _refused(analysis, size)
    if refused:
        return asked | {"refused": refused}
    try:
        cost = analysis.cost(height, width)
    except Inadmissible as refusal:
        return asked | {"refused": str(refusal)}
    return asked | {
        "macs": cost.macs,
        "activation_bytes": cost.activation_bytes,
        "peak_node": cost.peak_node,
        "output_shape": list(cost.output_shape),
    }


def _refused(analysis: Analysis, size: Size) -> str | None:
    """What the contract says against a size, even one that the graph would swallow."""
    axes = (("width", analysis.sizes.width), ("height", analysis.sizes.height))
    for (name, axis), pixels in zip(axes, size, strict=True):
        if not axis.admits(pixels):
            where = f"node {axis.node}: " if axis.node else ""
            return f"{name} {pixels} is not admitted; {where}{axis.reason}"
    return None
