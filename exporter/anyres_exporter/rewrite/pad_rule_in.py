"""The padding that a graph does by itself, read back from what `any_size` has put into it."""

from __future__ import annotations

from fractions import Fraction

import onnx
from onnx import numpy_helper

from anyres_exporter.rewrite.pad_rule import AxisCrop, Crop, PadMode, PadRule
from anyres_proto.card import AxisPadding, Padding


def pad_rule_in(model: onnx.ModelProto) -> PadRule | None:
    """The rule of a graph that was padded; None of any other."""
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    if "any_size.step" not in constants:
        return None

    def pair(name: str) -> tuple[int, int]:
        first, second = numpy_helper.to_array(constants[name]).tolist()
        return first, second

    def crop(output: str) -> Crop:
        own = f"{output}.crop"
        strides = map(Fraction, pair(f"{own}.p"), pair(f"{own}.q"))
        starts, stops = pair(f"{own}.start"), pair(f"{own}.first_and_further")
        height, width = (
            AxisCrop(stride, start, stop - start)
            for stride, start, stop in zip(strides, starts, stops, strict=True)
        )
        return Crop(output, height, width, pair(f"{own}.axes"))

    before, behind = pair("any_size.before"), pair("any_size.behind")
    height, width = (
        AxisPadding(step=step, minimum=least + ahead + after, before=ahead, more=ahead + after)
        for step, least, ahead, after in zip(
            pair("any_size.step"), pair("any_size.minimum"), before, behind, strict=True
        )
    )
    padding = Padding(height=height, width=width, mode=_mode(model))
    return PadRule(padding, tuple(crop(info.name) for info in model.graph.output))


def _mode(model: onnx.ModelProto) -> PadMode:
    pad = next((n for n in model.graph.node if "any_size.pads" in n.input), None)
    if pad is None:
        return "reflect"
    named: dict[bytes, PadMode] = {b"edge": "edge", b"constant": "constant"}
    return named[next(a.s for a in pad.attribute if a.name == "mode")]
