"""Graphs of which too little is known to foretell what ONNX Runtime takes of them."""

from __future__ import annotations

from onnx import TensorProto

from anyres_analyzer.graph.graph import Graph, Node
from anyres_analyzer.shapes.tensor import Tensors

_QUANTIZED = ("QuantizeLinear", "DequantizeLinear", "QLinearConv", "ConvInteger", "MatMulInteger")
_OTHER_FLOATS = (TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE)


def doubt(graph: Graph, tensors: Tensors) -> str | None:
    """Why a prediction may be far off; None where it was found to hold.

    Measured at 256x256: a quantized MobileNetV2 takes 3.3 MiB where 12.0 would be foretold; at
    320x320 a Swin transformer takes 26 where 9 would be.
    """
    for node in graph.nodes:
        if node.op_type in _QUANTIZED:
            return f"{node.label} is fused with quantized neighbours in ways that are not followed"
        if any(tensors[name].elem_type in _OTHER_FLOATS for name in node.made):
            return f"{node.label} makes no float32 numbers: conversions are not followed"
        if node.op_type == "MatMul" and _is_product_of_maps(graph, node):
            return f"{node.label} is part of an attention, whose fusions are not followed"
    return None


def _is_product_of_maps(graph: Graph, node: Node) -> bool:
    return not any(name in graph.origins for name in node.inputs)
