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


def _quantized_conv(node: Node, tensors: Tensors) -> int:
    """The weights come after the image's scale and zero."""
    return tensors[node.outputs[0]].elements * prod(tensors[node.inputs[3]].shape[1:])


def _attention(node: Node, tensors: Tensors) -> int:
    """Each of a query's E numbers meets every key, each of an answer's numbers every value."""
    query, key, answer = tensors[node.inputs[0]], tensors[node.inputs[1]], tensors[node.outputs[0]]
    past = node.inputs[4] if len(node.inputs) > 4 else ""
    keys = key.shape[-2] + (tensors[past].shape[-2] if past else 0)
    return (query.elements + answer.elements) * keys


def _einsum(node: Node, tensors: Tensors) -> int:
    """Every combination of indices once; a single operand is only summed or turned."""
    equation = node.attributes["equation"].decode().replace(" ", "")
    terms = equation.partition("->")[0].split(",")
    if len(terms) < 2:
        return 0
    sizes: dict[tuple[str, int], int] = {}
    for term, name in zip(terms, node.inputs, strict=True):
        shape = tensors[name].shape
        for index, size in zip(_indices(term, len(shape)), shape, strict=True):
            sizes[index] = max(size, sizes.get(index, 1))  # one cell is repeated
    return prod(sizes.values())


def _indices(term: str, rank: int) -> list[tuple[str, int]]:
    """The letters of a term; an ellipsis stands for what is left, counted from its end."""
    before, dots, after = term.partition("...")
    between = rank - len(before) - len(after) if dots else 0
    return [
        *((letter, 0) for letter in before),
        *(("...", place) for place in range(-between, 0)),
        *((letter, 0) for letter in after),
    ]


MACS: dict[str, Callable[[Node, Tensors], int]] = {
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "ConvInteger": _conv,
    "DeformConv": _conv,
    "MatMulInteger": _matmul,
    "QLinearConv": _quantized_conv,
    "QLinearMatMul": _matmul,
    "Attention": _attention,
    "Einsum": _einsum,
}
