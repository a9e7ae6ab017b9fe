"""Which input of a graph is the image, or why none is; and in which layout it comes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import onnx
from onnx import TensorProto

from anyres_analyzer.errors import UnsupportedGraph
from anyres_analyzer.graph.graph import RGB, Node, Value
from anyres_analyzer.graph.layout import NCHW, NHWC, Layout
from anyres_analyzer.graph.stored import type_name

_PIXEL_CHANNELS = (1, RGB, 4)
_CHANNELS_TO_FRONT = (0, 3, 1, 2)
_NO_NUMBERS = {
    TensorProto.UNDEFINED,
    TensorProto.STRING,
    TensorProto.COMPLEX64,
    TensorProto.COMPLEX128,
}


def image_among(inputs: Sequence[onnx.ValueInfoProto]) -> Value:
    """The one input of a graph, (n, c, h, w) or (n, h, w, c).

    Raises:
        UnsupportedGraph: there are several, or it is no image.
    """
    if len(inputs) != 1:
        names = ", ".join(info.name for info in inputs) or "none"
        raise UnsupportedGraph(f"the graph needs exactly one input, an image; it has: {names}")
    kind = inputs[0].type.WhichOneof("value") or "value of no type"
    if kind != "tensor_type":
        what = kind.removesuffix("_type").replace("_", " ")
        raise UnsupportedGraph(
            f"input '{inputs[0].name}' is no tensor of a declared rank but a {what}"
        )
    if not inputs[0].type.tensor_type.HasField("shape"):
        raise UnsupportedGraph(f"input '{inputs[0].name}' is no tensor of a declared rank")
    image = value(inputs[0])
    _refuse_types(image)
    _refuse_rank(image)
    _refuse_sizes(image.name, inputs[0].type.tensor_type.shape.dim)
    return image


def layout_of(image: Value, nodes: Iterable[Node]) -> Layout:
    """Channels last where the dims say so, or the graph's first step moves them to the front."""
    if image.dims[1] in _PIXEL_CHANNELS:
        return NCHW
    readers = [node for node in nodes if image.name in node.inputs]
    orders = {tuple(node.attributes.get("perm", ())) for node in readers}
    return NHWC if image.dims[3] in _PIXEL_CHANNELS or orders == {_CHANNELS_TO_FRONT} else NCHW


def value(info: onnx.ValueInfoProto) -> Value:
    """An input or output; a dimension that is not positive is open."""
    tensor = info.type.tensor_type
    dims = tuple(
        dim.dim_value if dim.dim_value > 0 else (dim.dim_param or None) for dim in tensor.shape.dim
    )
    return Value(info.name, tensor.elem_type, dims)


def _refuse_types(image: Value) -> None:
    if image.elem_type not in TensorProto.DataType.values() or image.elem_type in _NO_NUMBERS:
        known = image.elem_type in TensorProto.DataType.values()
        kind = type_name(image.elem_type) if known else str(image.elem_type)
        raise UnsupportedGraph(
            f"input '{image.name}' is of type {kind}; an image's pixels are numbers"
        )


def _refuse_rank(image: Value) -> None:
    if len(image.dims) != 4:
        raise UnsupportedGraph(
            f"input '{image.name}' has {len(image.dims)} dimensions; an image has 4: "
            "(n, c, h, w) or (n, h, w, c)"
        )


def _refuse_sizes(name: str, dims: Sequence[onnx.TensorShapeProto.Dimension]) -> None:
    """A negative size is how some exporters write an open one; 0 takes no image at all."""
    sizes = [dim.dim_value for dim in dims if dim.HasField("dim_value")]
    wrong = next((size for size in sizes if size == 0 or size > _LARGEST), None)
    if wrong is not None:
        raise UnsupportedGraph(f"input '{name}' is declared with a dimension of {wrong}")


_LARGEST = 1 << 24  # of any dimension of an image
