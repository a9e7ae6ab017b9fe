"""Any size for a network that only takes some: padding before and cropping after, in the graph.

    image (h, w) ── pad ──> (h', w') ── network ──> maps ── Slice, each ──> ceil(h / S), ceil(w / S)

How much is padded and cropped is the rule of `pad_rule`. What the added pixels are:

    edge       the border's pixel, again and again        a b c d | d d d d d d d d
    reflect    the image in a mirror, and so on           a b c d | c b a b c d c b
    constant   zero                                       a b c d | 0 0 0 0 0 0 0 0

ONNX's own reflected Pad refuses to add more than the image has, so mirrored rows and columns are
gathered: pixel r of an image of n pixels is pixel min(m, p - m) with p = 2 (n - 1) and m = r mod p,
wherever r lies (https://numpy.org/doc/stable/reference/generated/numpy.pad.html, "reflect"). A
single pixel repeats.

The network's tiling rule stays exact: a tile whose length is a multiple of the step has nothing
added after it, and the last tile is padded as the whole image would be.

The nodes are of opset 13, so a graph keeps the opset that it has.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper
from torch import Tensor, nn

from anyres_exporter.rewrite.pad_rule import Crop, PadRule
from anyres_exporter.trace.outputs import named
from anyres_proto.card import Padding


class AnySize(nn.Module):
    """The same in PyTorch eager: the independent oracle that the graph is proven against."""

    def __init__(self, network: nn.Module, rule: PadRule) -> None:
        super().__init__()
        self.network = network
        self.rule = rule

    def forward(self, image: Tensor) -> Tensor | dict[str, Tensor]:
        """(n, c, h, w) to every output of the network, cropped; by name where it has several."""
        height, width = image.shape[-2:]
        output = self.network(self._padded(image))
        maps = named(output)
        kept = {
            name: _cropped(value, crop, height, width)
            for (name, value), crop in zip(maps.items(), self._crops(list(maps)), strict=True)
        }
        return next(iter(kept.values())) if isinstance(output, Tensor) else kept

    def _padded(self, image: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        (top, bottom), (left, right) = self.rule.pads(height, width)
        if self.rule.padding.mode == "constant":
            return nn.functional.pad(image, (left, right, top, bottom))
        rows = self._pixels(-top, height + bottom, height)
        columns = self._pixels(-left, width + right, width)
        return image[..., rows, :][..., columns]

    def _pixels(self, first: int, end: int, size: int) -> list[int]:
        """Which pixels of an image stand at first .. end, some of them outside."""
        if self.rule.padding.mode == "edge":
            return [min(max(pixel, 0), size - 1) for pixel in range(first, end)]
        there_and_back = [*range(size), *range(size - 2, 0, -1)]
        return [there_and_back[pixel % len(there_and_back)] for pixel in range(first, end)]

    def _crops(self, names: list[str]) -> list[Crop]:
        """By name, or in order where the graph has other names."""
        by_name = {crop.output: crop for crop in self.rule.crops}
        if set(names) <= set(by_name):
            return [by_name[name] for name in names]
        return list(self.rule.crops)


def _cropped(value: Tensor, crop: Crop, height: int, width: int) -> Tensor:
    for dim, axis, size in zip(crop.sides, (crop.height, crop.width), (height, width), strict=True):
        end = min(axis.stop(size), value.shape[dim])
        value = value.narrow(dim, axis.start, end - axis.start)
    return value


def wrapped(model: onnx.ModelProto, rule: PadRule) -> onnx.ModelProto:
    """The model with padding before and cropping after; its input and outputs keep their names."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    given = {tensor.name for tensor in graph.initializer}
    image = next(info.name for info in graph.input if info.name not in given)
    outputs = [info.name for info in graph.output]
    for name in (image, *outputs):
        _rename(graph, name, f"{name}.padded")
    network = list(graph.node)
    crops = zip(outputs, rule.crops, strict=True)
    del graph.node[:]
    graph.node.extend([*_pad(image, rule.padding), *network])
    for name, crop in crops:
        graph.node.extend(_crop(name, crop))
    graph.initializer.extend(_constants(rule))
    _opened(graph, image, rule.crops)
    del graph.value_info[:]  # stated for the network's own sizes
    onnx.checker.check_model(result)
    return result


def _rename(graph: onnx.GraphProto, old: str, new: str) -> None:
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [new if name == old else name for name in names]


def _opened(graph: onnx.GraphProto, image: str, crops: tuple[Crop, ...]) -> None:
    """The image's axes are called height and width, and an output's where it is as large."""
    for info in graph.input:
        if info.name == image:
            _name(info, {2: "height", 3: "width"})
    for info, crop in zip(graph.output, crops, strict=True):
        _name(
            info,
            {
                dim: side if axis.stride == 1 and not axis.further else f"{info.name}.{side}"
                for dim, side, axis in zip(
                    crop.sides, ("height", "width"), (crop.height, crop.width), strict=True
                )
            },
        )


def _name(info: onnx.ValueInfoProto, names: dict[int, str]) -> None:
    """Name dimensions, where a shape is declared."""
    for dim, name in names.items():
        if info.type.tensor_type.shape.dim:
            info.type.tensor_type.shape.dim[dim].dim_param = name


def _pad(image: str, padding: Padding) -> Iterator[onnx.NodeProto]:
    """after = max((minimum - more - size) mod step, minimum - more - size) + more - before."""
    yield _node("Shape", [image], "any_size.shape")
    yield _node("Gather", ["any_size.shape", "any_size.axes"], "any_size.size", axis=0)
    yield _node("Sub", ["any_size.minimum", "any_size.size"], "any_size.to_minimum")
    yield _node("Mod", ["any_size.to_minimum", "any_size.step"], "any_size.to_step")
    yield _node("Max", ["any_size.to_step", "any_size.to_minimum"], "any_size.lacking")
    yield _node("Add", ["any_size.lacking", "any_size.behind"], "any_size.after")
    if padding.mode == "reflect":
        yield from _mirrored(image)
    else:
        nothing = "any_size.nothing"  # for batch and channels
        parts = [nothing, "any_size.before", nothing, "any_size.after"]
        yield _node("Concat", parts, "any_size.pads", axis=0)
        yield _node("Pad", [image, "any_size.pads"], f"{image}.padded", mode=padding.mode)


def _mirrored(image: str) -> Iterator[onnx.NodeProto]:
    """Rows, then columns as rows of the image turned: rows are gathered several times as fast."""
    yield _node("Neg", ["any_size.before"], "any_size.first")
    yield _node("Add", ["any_size.size", "any_size.after"], "any_size.end")
    yield _node("Sub", ["any_size.size", "any_size.one"], "any_size.last")
    yield _node("Add", ["any_size.last", "any_size.last"], "any_size.there_and_back")
    yield _node(
        "Max", ["any_size.there_and_back", "any_size.one"], "any_size.period"
    )  # 1 for a single pixel
    for index, axis in enumerate(("rows", "columns")):
        own = f"any_size.{axis}"
        for value in ("first", "end", "period"):
            yield _node(
                "Gather", [f"any_size.{value}", f"any_size.index_{index}"], f"{own}.{value}", axis=0
            )
        yield _node("Range", [f"{own}.first", f"{own}.end", "any_size.unit"], f"{own}.places")
        yield _node("Mod", [f"{own}.places", f"{own}.period"], f"{own}.there")
        yield _node("Sub", [f"{own}.period", f"{own}.there"], f"{own}.back")
        yield _node("Min", [f"{own}.there", f"{own}.back"], f"{own}.pixels")
    yield _node("Gather", [image, "any_size.rows.pixels"], "any_size.high", axis=2)
    yield _node("Transpose", ["any_size.high"], "any_size.turned", perm=[0, 1, 3, 2])
    yield _node("Gather", ["any_size.turned", "any_size.columns.pixels"], "any_size.wide", axis=2)
    yield _node("Transpose", ["any_size.wide"], f"{image}.padded", perm=[0, 1, 3, 2])


def _crop(output: str, crop: Crop) -> Iterator[onnx.NodeProto]:
    """ceil(size / S) with S = p / q is (size * q + p - 1) // p."""
    own = f"{output}.crop"
    yield _node("Mul", ["any_size.size", f"{own}.q"], f"{own}.scaled")
    yield _node("Add", [f"{own}.scaled", f"{own}.p_less_1"], f"{own}.up")
    yield _node("Div", [f"{own}.up", f"{own}.p"], f"{own}.cells")
    yield _node("Add", [f"{own}.cells", f"{own}.first_and_further"], f"{own}.stop")
    yield _node("Slice", [f"{output}.padded", f"{own}.start", f"{own}.stop", f"{own}.axes"], output)


def _node(op_type: str, inputs: list[str], output: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op_type, inputs, [output], f"{output}.{op_type}", **attributes)


def _constants(rule: PadRule) -> list[onnx.TensorProto]:
    axes = (rule.padding.height, rule.padding.width)
    values: dict[str, object] = {
        "any_size.axes": (2, 3),
        "any_size.step": [axis.step for axis in axes],
        "any_size.minimum": [axis.minimum - axis.more for axis in axes],
        "any_size.before": [axis.before for axis in axes],
        "any_size.behind": [axis.more - axis.before for axis in axes],
    }
    if rule.padding.mode == "reflect":
        values |= {
            "any_size.one": [1],
            "any_size.unit": 1,
            "any_size.index_0": 0,
            "any_size.index_1": 1,
        }
    else:
        values |= {"any_size.nothing": (0, 0)}
    for crop in rule.crops:
        values |= _crop_constants(f"{crop.output}.crop", crop)
    return [
        numpy_helper.from_array(np.array(value, np.int64), name) for name, value in values.items()
    ]


def _crop_constants(own: str, crop: Crop) -> dict[str, object]:
    axes = (crop.height, crop.width)
    return {
        f"{own}.axes": crop.sides,
        f"{own}.q": [axis.stride.denominator for axis in axes],
        f"{own}.p": [axis.stride.numerator for axis in axes],
        f"{own}.p_less_1": [axis.stride.numerator - 1 for axis in axes],
        f"{own}.start": [axis.start for axis in axes],
        f"{own}.first_and_further": [axis.start + axis.further for axis in axes],
    }
