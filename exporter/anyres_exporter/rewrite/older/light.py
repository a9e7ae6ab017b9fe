"""A model without its weights: small, whatever it weighs, and all that shapes depend on."""

from __future__ import annotations

from math import prod

from onnx import ModelProto, helper

_STEERING = 1 << 10  # bytes; shapes, axes and pads are smaller than that, weights larger


def light(model: ModelProto) -> ModelProto:
    """The same nodes, with every large constant an input of its type and shape."""
    result = ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    graph = result.graph
    graph.name = model.graph.name
    graph.node.extend(model.graph.node)
    graph.input.extend(model.graph.input)
    graph.output.extend(model.graph.output)
    named = {value.name for value in graph.input}
    for tensor in model.graph.initializer:
        itemsize = helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
        if prod(tensor.dims) * itemsize <= _STEERING:
            graph.initializer.append(tensor)
        elif tensor.name not in named:
            value = helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            graph.input.append(value)
    return result
