"""Which operators ONNX Runtime computes on maps whose channels are blocked."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from onnx import TensorProto

from anyres_analyzer.cost.runtime import facts
from anyres_analyzer.graph.graph import Graph, Node
from anyres_analyzer.shapes.tensor import Tensor


def blocked_bytes(tensor: Tensor) -> int:
    """Of a map, with its channels rounded up."""
    batch, channels, *pixels = tensor.shape
    rounded = -(-channels // facts.CHANNEL_BLOCK) * facts.CHANNEL_BLOCK
    return batch * rounded * prod(pixels) * facts.FLOAT_BYTES


def fills_blocks(tensor: Tensor) -> bool:
    """A float map with no channel left over."""
    return _is_float_map(tensor) and tensor.shape[1] % facts.CHANNEL_BLOCK == 0


def reads_plain(node: Node, weight: Tensor) -> bool:
    """A convolution of an image of few channels."""
    return _groups(node) == 1 and weight.shape[1] < facts.CHANNEL_BLOCK


def is_blocked_convolution(node: Node, weight: Tensor, made: Tensor) -> bool:
    """By the channels of a group: few, a multiple of four, one (depthwise), or whole blocks."""
    if not _is_float_map(made) or len(weight.shape) != 4:
        return False
    filters, per_group = weight.shape[:2]
    groups = _groups(node)
    if groups == 1:
        return reads_plain(node, weight) or per_group % facts.CHANNEL_STEP == 0
    if per_group == 1 and filters == groups:
        return filters % facts.CHANNEL_STEP == 0
    return per_group % facts.CHANNEL_BLOCK == 0 == filters // groups % facts.CHANNEL_BLOCK


def is_blocked_concat(node: Node, maps: Sequence[Tensor]) -> bool:
    """Along channels, of whole blocks."""
    return node.attributes["axis"] in (1, -3) and all(map(fills_blocks, maps))


def is_blocked_resize(
    graph: Graph, node: Node, before: Tensor, after: Tensor, *, static: bool
) -> bool:
    """Enlarged by whole factors that are known beforehand, in the modes of the table."""
    return (
        (static or _has_constant_scales(graph, node))
        and before.shape[:2] == after.shape[:2]
        and all(n % o == 0 for n, o in zip(after.shape[2:], before.shape[2:], strict=True))
        and _is_blocked_mode(graph, node)
    )


def _is_blocked_mode(graph: Graph, node: Node) -> bool:
    by_corner = node.op_type == "Upsample" or graph.opset < 11  # before there were modes
    coordinates = node.attributes.get("coordinate_transformation_mode", b"half_pixel")
    rounding = node.attributes.get("nearest_mode", b"round_prefer_floor")
    match node.attributes.get("mode", b"nearest"):
        case b"nearest":
            return by_corner or (coordinates, rounding) == (b"asymmetric", b"floor")
        case b"linear":
            return by_corner or coordinates in facts.BLOCKED_LINEAR
    return False


def _has_constant_scales(graph: Graph, node: Node) -> bool:
    at = 1 if node.op_type == "Upsample" or graph.opset < 11 else 2
    return len(node.inputs) == at + 1 and node.inputs[at] in graph.origins


def _groups(node: Node) -> int:
    groups: int = node.attributes.get("group", 1)
    return groups


def _is_float_map(tensor: Tensor) -> bool:
    return tensor.elem_type == TensorProto.FLOAT and len(tensor.shape) == 4
