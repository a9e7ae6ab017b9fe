"""Which version of an operator ONNX's reference evaluator can run.

It implements the quantization operators from opset 19 on only, while most quantized models are of
opset 10 to 18. What those versions do, the newer one does too: it adds attributes and types.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, ValueInfoProto, helper
from onnx.reference import ReferenceEvaluator

_IMPLEMENTED_FROM = {"DequantizeLinear": 19, "QuantizeLinear": 19}


def evaluator(proto: NodeProto, opset: int) -> ReferenceEvaluator:
    """Runs one node of this opset: names of its inputs and their values in, its outputs out."""
    version = max(opset, _IMPLEMENTED_FROM.get(proto.op_type, opset))
    inputs = [ValueInfoProto(name=name) for name in dict.fromkeys(proto.input) if name]
    outputs = [ValueInfoProto(name=name) for name in proto.output if name]
    graph = helper.make_graph([proto], "node", inputs, outputs)
    imports = [helper.make_opsetid(proto.domain, version)]
    return ReferenceEvaluator(helper.make_model(graph, opset_imports=imports))


def evaluated(
    proto: NodeProto, opset: int, values: Mapping[str, NDArray[np.generic]]
) -> dict[str, NDArray[np.generic]]:
    """The outputs of one node, by name.

    Raises:
        ValueError, RuntimeError, IndexError, TypeError: the node does not take these values.
    """
    given = {name: values[name] for name in proto.input if name}
    made = evaluator(proto, opset).run(None, given)
    assert isinstance(made, list), "one value for each output"
    return dict(zip(filter(None, proto.output), map(np.asarray, made), strict=True))
