"""Multiply-adds, operator by operator.

A MAC is one multiply-add of a convolution or matrix product; nothing else counts. Example: a 3x3
convolution from 3 to 8 channels on 10x10 pixels is 10 * 10 * 8 * 3 * 9 = 21600 MACs.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from anyres_analyzer.graph.graph import Node
from anyres_analyzer.shapes.tensor import Tensors


def macs(node: Node, tensors: Tensors) -> int:
    """The multiply-adds of one node; 0 for an operator that multiplies no matrices."""
    rule = MACS.get(node.op_type)
    return rule(node, tensors) if rule else 0


def _conv(node: Node, tensors: Tensors) -> int:
    """N * Co * Ho * Wo outputs, each a sum over (Ci / groups) * kh * kw."""
    return tensors[node.outputs[0]].elements * prod(tensors[node.inputs[1]].shape[1:])


def _conv_transpose(node: Node, tensors: Tensors) -> int:
    """N * Ci * Hi * Wi inputs, each painted into (Co / groups) * kh * kw."""
    return tensors[node.inputs[0]].elements * prod(tensors[node.inputs[1]].shape[1:])


def _gemm(node: Node, tensors: Tensors) -> int:
    inner = tensors[node.inputs[0]].shape[0 if node.attributes.get("transA", 0) else 1]
    return tensors[node.outputs[0]].elements * inner


def _matmul(node: Node, tensors: Tensors) -> int:
    return tensors[node.outputs[0]].elements * tensors[node.inputs[0]].shape[-1]


MACS: dict[str, Callable[[Node, Tensors], int]] = {
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Gemm": _gemm,
    "MatMul": _matmul,
}
