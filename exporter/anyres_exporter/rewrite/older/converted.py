"""A graph in an older opset, node by node.

onnx's own converter has no way down for most of what changed since opset 13, and gives up on the
graphs that torch writes. What it would have to know is small: the tables in `rules`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import (
    AttributeProto,
    GraphProto,
    ModelProto,
    TensorProto,
    TypeProto,
    helper,
    numpy_helper,
)

from anyres_exporter.rewrite.older.fits import fitted
from anyres_exporter.rewrite.older.light import light
from anyres_exporter.rewrite.older.rules import RULES
from anyres_exporter.rewrite.older.site import Site


def converted(model: ModelProto, source: int, target: int) -> ModelProto:
    """The model with every node as the older opset has it.

    Raises:
        NotExportable: a node says what that opset has no words for; the message names it.
    """
    constants = _constants(model.graph)
    types = _types(model)
    result = ModelProto()
    result.CopyFrom(model)
    del result.graph.node[:]
    for node in model.graph.node:
        site = Site(node, target, constants, types)
        _refuse_branches(site)
        _rewrite(site, source)
        result.graph.node.extend(fitted(site, each, source) for each in site.nodes)
        result.graph.initializer.extend(site.initializers)
    for entry in result.opset_import:
        if entry.domain in ("", "ai.onnx"):
            entry.version = target
    result.ir_version = helper.find_min_ir_version_for(list(result.opset_import), True)
    return result


def _rewrite(site: Site, source: int) -> None:
    since, rule = RULES.get(site.node.op_type, (0, None))
    if rule and site.node.domain in ("", "ai.onnx") and site.opset < since <= source:
        rule(site)
    else:
        site.nodes.append(site.node)


def _refuse_branches(site: Site) -> None:
    if any(a.type in (AttributeProto.GRAPH, AttributeProto.GRAPHS) for a in site.node.attribute):
        site.refuse("it holds a graph of its own")


def _constants(graph: GraphProto) -> Mapping[str, TensorProto]:
    held = {
        node.output[0]: _number(attribute)
        for node in graph.node
        if node.op_type == "Constant"
        for attribute in node.attribute
        if attribute.name in ("value", "value_int", "value_ints", "value_float", "value_floats")
    }
    return held | {tensor.name: tensor for tensor in graph.initializer}


def _number(attribute: AttributeProto) -> TensorProto:
    value = helper.get_attribute_value(attribute)
    if isinstance(value, TensorProto):
        return value
    dtype = np.int64 if attribute.name.startswith("value_int") else np.float32
    return numpy_helper.from_array(np.asarray(value, dtype))


def _types(model: ModelProto) -> Mapping[str, TypeProto.Tensor]:
    """Element type and shape of every tensor: as onnx infers it, else as the file states it."""
    known = onnx.shape_inference.infer_shapes(light(model), data_prop=True).graph
    constants = (
        helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        for tensor in model.graph.initializer
    )
    inferred = (*known.input, *known.output, *known.value_info)
    values = (*model.graph.value_info, *inferred, *constants)
    return {
        value.name: value.type.tensor_type for value in values if value.type.HasField("tensor_type")
    }
