"""What ONNX Runtime's kernels take beside their inputs and outputs, while they run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod

from anyres_analyzer.cost.runtime import facts
from anyres_analyzer.graph.graph import Node
from anyres_analyzer.shapes.tensor import Tensors


def workspace_bytes(node: Node, tensors: Tensors) -> int:
    """Of an operator that is not blocked; blocked ones take none worth counting."""
    taken = _WORKSPACES.get(node.op_type)
    return taken(node, tensors) * facts.FLOAT_BYTES if taken else 0


def _transposed(node: Node, tensors: Tensors) -> int:
    """Columns: (Co / g) * kh * kw rows for every input pixel."""
    image, weight = tensors[node.inputs[0]], tensors[node.inputs[1]]
    return prod(weight.shape[1:]) * prod(image.shape[2:])


def _unfolded(node: Node, tensors: Tensors) -> int:
    """The whole image of a group if its filters outnumber its pixels, else a piece a thread."""
    weight, made = tensors[node.inputs[1]], tensors[node.made[0]]
    pixels = prod(made.shape[2:])
    if weight.shape[0] // node.attributes.get("group", 1) > pixels:
        return prod(weight.shape[1:]) * pixels
    return 2 * facts.GEMM_THREADS_BYTES // facts.FLOAT_BYTES


def _normalized(node: Node, tensors: Tensors) -> int:
    """Squares of one image with the window's rim of channels, and a scale for every number."""
    batch, channels, *pixels = tensors[node.inputs[0]].shape
    rim = int(node.attributes["size"]) - 1
    return (batch * channels + channels + rim) * prod(pixels)


def _like_output(node: Node, tensors: Tensors) -> int:
    return tensors[node.made[0]].elements


_WORKSPACES: Mapping[str, Callable[[Node, Tensors], int]] = {
    "Conv": _unfolded,
    "ConvTranspose": _transposed,
    "Gelu": _like_output,
    "LRN": _normalized,
}
