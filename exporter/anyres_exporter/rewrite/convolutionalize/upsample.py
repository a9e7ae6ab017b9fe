"""The grid of answers at the image's own size, by bilinear interpolation inside the graph.

Answer i is centred on the pixel S * i + o, where S is the output's stride and o its offset, both
known from the analysis. So pixel x lies at (x - o) / S on the grid. ONNX's Resize has its own idea
of where output pixel j lies on its input; with a factor S it is

    asymmetric     j / S
    half_pixel     (j + 1/2) / S - 1/2

and neither knows o. But they differ from what is wanted by a shift alone, so with the first answer
repeated P times before itself, x is one of the pixels that Resize makes, and is cut out:

    asymmetric     x = j + o - P * S                   exact where o is a whole number
    half_pixel     x = j + o - P * S - (S - 1) / 2     where o and (S - 1) / 2 differ by one

    example: ResNet, S = 32, behind a pool of 7 cells o = 96: asymmetric, P = 3, cut from j = 0
    example: ConvNeXt, S = 32, likewise o = 111.5: half_pixel, P = 3, cut from j = 0

In the rest (S odd and o between two pixels) twice as many pixels are made and every second kept:
asymmetric with a factor 2 * S, x = j / 2 + o - P * S. Beyond the first and the last answer their
own values go on to the image's border. The analysis of the result must say stride 1 and offset 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil

import numpy as np
import onnx

from anyres_analyzer import Analysis
from anyres_analyzer.output import Output
from anyres_analyzer.sizes.contract import AxisContract
from anyres_exporter.rewrite.convolutionalize.convert import Answer, Converted, analysed
from anyres_exporter.rewrite.convolutionalize.graft import Graft
from anyres_exporter.rewrite.convolutionalize.refusal import NotConvertible

_OLDEST = 11  # the first Resize that says where its pixels lie
_WITHOUT_REGION = 13  # from there on Resize needs none


@dataclass(frozen=True)
class Axis:
    """What is done along one axis.

    `before` and `after` answers are repeated at the ends, `factor` pixels made of each, and from
    `start` on every `step`-th kept.
    """

    before: int
    after: int
    factor: int
    start: int
    step: int


def upsampled(converted: Converted) -> Converted:
    """The same network with every answer at the image's size; activations come after that.

    Raises:
        NotConvertible: its operators are too old, or its answers no whole number of pixels apart.
    """
    if converted.source.graph.opset < _OLDEST:
        raise NotConvertible(
            f"its operators are of opset {converted.source.graph.opset}, whose Resize cannot align "
            f"the answers with the pixels; expected {_OLDEST} or newer, or --upsample none"
        )
    model = onnx.ModelProto()
    model.CopyFrom(converted.model)
    for answer in {answer.map: answer for answer in converted.answers}.values():
        _resize(model.graph, converted, answer)
    _name_sides(model.graph, converted.answers)
    analysis = analysed(model, converted.source)
    for output in _outputs(analysis, converted.answers):
        if {*output.stride} != {Fraction(1)} or {*output.offset} != {Fraction(0)}:
            raise NotConvertible(
                f"its output '{output.name}' is not one answer a pixel: stride {output.stride}, "
                f"offset {output.offset}"
            )
    return replace(converted, model=model, analysis=analysis)


def axis(stride: Fraction, offset: Fraction, surplus: Fraction, *, halves: bool) -> Axis:
    """The rule along one axis.

    Args:
        stride: S, pixels between two answers.
        offset: o, the pixel that answer 0 is centred on.
        surplus: the most by which an image is longer than its answers times S.
        halves: whether Resize means half_pixel.
    """
    origin = offset - (stride - 1) / 2 if halves else offset
    before = max(0, ceil(origin / stride))
    shift = before * stride - origin
    step = shift.denominator
    after = max(0, ceil((surplus + shift) / stride) - before)
    return Axis(before, after, int(stride) * step, int(shift * step), step)


def _resize(graph: onnx.GraphProto, converted: Converted, answer: Answer) -> None:
    (output,) = _outputs(converted.analysis, [answer])
    if any(stride.denominator > 1 for stride in output.stride):
        raise NotConvertible(
            f"its answers are {output.stride[1]} by {output.stride[0]} pixels apart"
        )
    sides = list(zip(output.stride, output.offset, strict=True))
    halves = all((offset - (stride - 1) / 2).denominator == 1 for stride, offset in sides)
    halves = halves and any(offset.denominator > 1 for _, offset in sides)
    rows, columns = (
        axis(stride, offset, _surplus(converted.analysis, output, index), halves=halves)
        for index, (stride, offset) in enumerate(sides)
    )
    graft = Graft(graph)
    _redirect(graph, answer, f"{answer.map}.grid")
    _draw(graft, converted, answer.map, (rows, columns), halves=halves)
    place = 1 + max(i for i, node in enumerate(graph.node) if f"{answer.map}.grid" in node.output)
    for node in reversed(graft.nodes):
        graph.node.insert(place, node)
    graph.initializer.extend(graft.initializers)


def _name_sides(graph: onnx.GraphProto, answers: Sequence[Answer]) -> None:
    names = [answer.output for answer in answers]
    for info in graph.output:
        if info.name in names:
            for dim, name in ((2, "height"), (3, "width")):
                info.type.tensor_type.shape.dim[dim].dim_param = name


def _redirect(graph: onnx.GraphProto, answer: Answer, grid: str) -> None:
    """The grid gets a name of its own; who reads the answer will read the larger map."""
    for node in graph.node:
        node.output[:] = [grid if name == answer.map else name for name in node.output]


def _draw(
    graft: Graft, converted: Converted, name: str, sides: Sequence[Axis], *, halves: bool
) -> None:
    old = converted.source.graph.opset < _WITHOUT_REGION
    pads = [0, 0, *(s.before for s in sides), 0, 0, *(s.after for s in sides)]
    scales = np.array([1, 1, *(side.factor for side in sides)], np.float32)
    region = graft.constant(np.array([], np.float32), f"{name}.region") if old else ""
    made = graft.node("Pad", [f"{name}.grid", _whole(graft, pads, name)], name, mode="edge")
    made = graft.node(
        "Resize",
        [made, region, graft.constant(scales, f"{name}.factors")],
        name,
        mode="linear",
        coordinate_transformation_mode="half_pixel" if halves else "asymmetric",
    )
    axes, starts, steps = (
        _whole(graft, numbers, name)
        for numbers in ((2, 3), [side.start for side in sides], [side.step for side in sides])
    )
    image = graft.node("Shape", [converted.source.graph.image.name], name)
    places = [dim % 4 for dim in converted.source.graph.layout.sides]
    ends = graft.node("Gather", [image, _whole(graft, places, name)], name, axis=0)
    ends = graft.node("Mul", [ends, steps], name)
    ends = graft.node("Add", [ends, starts], name)
    made = graft.node("Slice", [made, starts, ends, axes, steps], name)
    graft.named(made, name)


def _whole(graft: Graft, numbers: Sequence[int], stem: str) -> str:
    return graft.constant(np.array(numbers, np.int64), f"{stem}.numbers")


def _outputs(analysis: Analysis, answers: Sequence[Answer]) -> list[Output]:
    names = [answer.output for answer in answers]
    return [output for output in analysis.outputs if output.name in names]


def _surplus(analysis: Analysis, output: Output, index: int) -> Fraction:
    """The most by which an image is longer than its answers times the stride, at any size.

    One period of the graph's lattices above the minimum has every case.
    """
    sizes = analysis.sizes.height, analysis.sizes.width
    contract: AxisContract = sizes[index]
    period = analysis.periods[index]
    lengths = range(contract.minimum, contract.minimum + period + contract.step, contract.step)
    found = []
    for length in lengths:
        image = [side.minimum for side in sizes]
        image[index] = length
        tensors = analysis.shapes.at(image[0], image[1])
        found.append(length - output.stride[index] * tensors[output.name].shape[2 + index])
    return max(found)
