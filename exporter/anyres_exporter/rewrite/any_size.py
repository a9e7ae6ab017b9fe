"""Any size for a network that only takes multiples of a step.

The image is padded at the bottom and right up to the next size that the network takes, and the
output is cropped back, inside the graph:

    image (h, w) ── Pad ──> (h', w') ── network ──> (h'/S, w'/S) ── Slice ──> (ceil(h/S), ceil(w/S))

    h' = h + max((minimum - h) mod step, minimum - h)          and likewise for w

so h' is the smallest of minimum, minimum + step, ... that holds the image.

Padding happens only at the far borders, so positions do not move, and the network's tiling rule
stays exact: a tile whose length is a multiple of the step is not padded at all, and the last tile
is padded as the whole image would be.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np
import onnx
from onnx import helper, numpy_helper
from torch import Tensor, nn

PadMode = Literal["edge", "constant"]
_TORCH_MODES: dict[PadMode, str] = {"edge": "replicate", "constant": "constant"}


@dataclass(frozen=True)
class PadToStep:
    """What to pad to along both axes, with what, and the network's output stride (h, w)."""

    step: int
    minimum: int
    mode: PadMode
    stride: tuple[Fraction, Fraction]

    def missing(self, size: int) -> int:
        """Rows or columns that an image of this size lacks."""
        return max((self.minimum - size) % self.step, self.minimum - size)


class AnySize(nn.Module):
    """The same in PyTorch eager: the independent oracle that the graph is proven against."""

    def __init__(self, network: nn.Module, rule: PadToStep) -> None:
        super().__init__()
        self.network = network
        self.rule = rule

    def forward(self, image: Tensor) -> Tensor:
        """(n, c, h, w) to (n, channels, ceil(h / S), ceil(w / S))."""
        height, width = image.shape[-2:]
        bottom, right = self.rule.missing(height), self.rule.missing(width)
        mode = _TORCH_MODES[self.rule.mode]
        padded = nn.functional.pad(image, (0, right, 0, bottom), mode=mode)
        rows, columns = (
            -(-size * stride.denominator // stride.numerator)
            for size, stride in zip((height, width), self.rule.stride, strict=True)
        )
        output: Tensor = self.network(padded)[..., :rows, :columns]
        return output


def wrapped(model: onnx.ModelProto, rule: PadToStep) -> onnx.ModelProto:
    """The model with padding before and cropping after; its input and output keep their names."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    image, output = graph.input[0].name, graph.output[0].name
    _rename(graph, image, f"{image}.padded")
    _rename(graph, output, f"{output}.padded")
    network = list(graph.node)
    del graph.node[:]
    graph.node.extend([*_pad(image, rule), *network, *_crop(output, rule)])
    graph.initializer.extend(_constants(rule))
    for info in (graph.input[0], graph.output[0]):
        for dim, name in ((2, "height"), (3, "width")):
            info.type.tensor_type.shape.dim[dim].dim_param = name
    if set(rule.stride) != {Fraction(1)}:
        for dim, name in ((2, "output_height"), (3, "output_width")):
            graph.output[0].type.tensor_type.shape.dim[dim].dim_param = name
    del graph.value_info[:]  # stated for the network's own sizes
    onnx.checker.check_model(result)
    return result


def _rename(graph: onnx.GraphProto, old: str, new: str) -> None:
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [new if name == old else name for name in names]


def _pad(image: str, rule: PadToStep) -> list[onnx.NodeProto]:
    return [
        helper.make_node("Shape", [image], ["pad.size"], "pad_size", start=2, end=4),
        helper.make_node("Sub", ["pad.minimum", "pad.size"], ["pad.to_minimum"], "pad_to_minimum"),
        helper.make_node("Mod", ["pad.to_minimum", "pad.step"], ["pad.to_step"], "pad_to_step"),
        helper.make_node("Max", ["pad.to_step", "pad.to_minimum"], ["pad.after"], "pad_after"),
        helper.make_node("Concat", ["pad.before", "pad.after"], ["pad.pads"], "pad_pads", axis=0),
        helper.make_node(
            "Pad",
            [image, "pad.pads", "", "pad.axes"],
            [f"{image}.padded"],
            "pad_image",
            mode=rule.mode,
        ),
    ]


def _crop(output: str, rule: PadToStep) -> list[onnx.NodeProto]:
    """ceil(size / S) with S = p / q is (size * q + p - 1) // p."""
    return [
        helper.make_node("Mul", ["pad.size", "crop.q"], ["crop.scaled"], "crop_scaled"),
        helper.make_node("Add", ["crop.scaled", "crop.p_less_1"], ["crop.up"], "crop_up"),
        helper.make_node("Div", ["crop.up", "crop.p"], ["crop.end"], "crop_end"),
        helper.make_node(
            "Slice",
            [f"{output}.padded", "pad.before", "crop.end", "pad.axes"],
            [output],
            "crop_output",
        ),
    ]


def _constants(rule: PadToStep) -> list[onnx.TensorProto]:
    values = {
        "pad.step": (rule.step,) * 2,
        "pad.minimum": (rule.minimum,) * 2,
        "pad.before": (0, 0),
        "pad.axes": (2, 3),
        "crop.q": tuple(s.denominator for s in rule.stride),
        "crop.p": tuple(s.numerator for s in rule.stride),
        "crop.p_less_1": tuple(s.numerator - 1 for s in rule.stride),
    }
    return [
        numpy_helper.from_array(np.array(value, np.int64), name) for name, value in values.items()
    ]
