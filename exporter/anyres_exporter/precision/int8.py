"""int8: activations in 8 bits without a sign, weights with one, as ONNX Runtime's kernels want it.

    q = clip(round(x / scale) + zero, 0, 255)    activations, one scale and zero a tensor
    q = clip(round(w / scale), -127, 127)        weights, one scale an output channel

A tensor is written as QuantizeLinear -> DequantizeLinear; the runtime joins them with the layer
between into one 8-bit kernel, the activation after it included. Placing them is the work of
`onnxruntime.quantization`; which nodes and which ranges is decided here.

On x86 without VNNI the runtime adds pairs of products in 16 bits, which can overflow: a variant is
measured on the machine that makes it, and answers so on others that have VNNI, or on Arm.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper
from onnxruntime.quantization import CalibrationMethod, QuantType
from onnxruntime.quantization.calibrate import TensorData, TensorsData
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
from onnxruntime.quantization.shape_inference import quant_pre_process

from anyres_exporter.errors import NotFaster
from anyres_exporter.precision.maker import Maker, bare, named
from anyres_exporter.precision.ranges import Method, ranges
from anyres_exporter.precision.rounding import OPERATORS, may_be_kept, rounded

OPSET = 13  # the first with a scale a channel
_INFERRED = {"onnx.infer": "onnxruntime.quant"}  # what the library looks for, to infer no shapes


def int8(model: Path, images: Iterable[NDArray[Any]], method: Method) -> Maker:
    """Calibrate once; then any layers can be kept in fp32.

    Args:
        model: an fp32 ONNX file.
        images: network inputs to find the ranges on.
        method: how.

    Raises:
        NotFaster: no layer can be computed in 8 bits, or the opset is too old.
        DoesNotRun: ONNX Runtime does not run it on an image.
    """
    graph = _prepared(model)
    nodes = rounded(graph.graph)
    if not nodes:
        raise NotFaster(f"{model} has no layer with constant weights to compute in int8")
    found = ranges(graph, _rounded_tensors(graph, nodes), images, method)
    spans = {name: _tensor_data(*span) for name, span in found.items()}

    def make(kept: Collection[str]) -> ModelProto:
        return _quantized(graph, spans, rounded(graph.graph, kept))

    return Maker(may_be_kept(graph.graph, nodes), make)


def _prepared(model: Path) -> ModelProto:
    """Normalization folded into weights, constants folded, shapes inferred as far as they are."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "prepared.onnx"
        quant_pre_process(model, path, skip_symbolic_shape=True)
        graph = named(onnx.load(path))
    opset = next(each.version for each in graph.opset_import if each.domain in ("", "ai.onnx"))
    if opset < OPSET:
        raise NotFaster(
            f"{model} is of opset {opset}, and a scale a channel came with {OPSET}; export it "
            f"again with --opset {OPSET} or later"
        )
    used = {node.domain for node in graph.graph.node} | {""}
    kept = [each for each in graph.opset_import if each.domain in used]
    del graph.opset_import[:]
    graph.opset_import.extend(kept)
    helper.set_model_props(graph, _INFERRED)
    return graph


def _rounded_tensors(graph: ModelProto, nodes: Collection[str]) -> set[str]:
    """What goes into and comes out of these nodes, but for constants and whole numbers."""
    inner = graph.graph
    floats = {
        value.name
        for value in (*inner.input, *inner.output, *inner.value_info)
        if value.type.tensor_type.elem_type == TensorProto.FLOAT
    } - {tensor.name for tensor in inner.initializer}
    touched = (node for node in inner.node if node.name in nodes)
    return {name for node in touched for name in (*node.input, *node.output) if name in floats}


def _tensor_data(low: float, high: float) -> TensorData:
    return TensorData(lowest=np.float32(low), highest=np.float32(high))


def _quantized(
    graph: ModelProto, spans: dict[str, TensorData], nodes: tuple[str, ...]
) -> ModelProto:
    copy = ModelProto()
    copy.CopyFrom(graph)
    if nodes:  # none would mean all
        quantizer = QDQQuantizer(
            copy,
            per_channel=True,
            reduce_range=False,
            weight_qType=QuantType.QInt8,
            activation_qType=QuantType.QUInt8,
            tensors_range=TensorsData(CalibrationMethod.MinMax, spans),
            nodes_to_quantize=list(nodes),
            nodes_to_exclude=[],
            op_types_to_quantize=list(OPERATORS),
            extra_options={},
        )
        copy = quantizer.quantize_model()
    return bare(copy)
