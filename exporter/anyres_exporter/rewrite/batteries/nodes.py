"""Nodes and constants on their way into a graph, and what a graph declares of its ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Dim: TypeAlias = int | str | None


@dataclass
class Nodes:
    """Nodes and the constants that they need, in the order in which they were made."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[TensorProto] = field(default_factory=list)

    def make(self, op_type: str, inputs: Sequence[str], *made: str, **attributes: Any) -> str:
        """Add a node; the name of the first tensor that it makes."""
        node = helper.make_node(op_type, inputs, made, f"{made[-1]}.{op_type}", **attributes)
        self.nodes.append(node)
        return made[0]

    def constant(self, name: str, value: NDArray[Any]) -> str:
        """Add a constant; its name."""
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def cast(self, tensor: str, made: str, dtype: str) -> str:
        """Add a Cast to numpy's type of this name; the name of what it makes."""
        elem_type = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return self.make("Cast", [tensor], made, to=elem_type)


def renamed(graph: onnx.GraphProto, names: Mapping[str, str]) -> None:
    """Call tensors inside a graph something else; inputs and outputs stay declared as they are."""
    for node in graph.node:
        for used in (node.input, node.output):
            used[:] = [names.get(name, name) for name in used]
    for tensor in graph.initializer:
        tensor.name = names.get(tensor.name, tensor.name)
    for info in graph.value_info:
        info.name = names.get(info.name, info.name)


def dims(info: onnx.ValueInfoProto) -> list[Dim]:
    """The dimensions that a graph declares: a number, a name, or None."""
    shape = info.type.tensor_type.shape
    return [
        dim.dim_value if dim.HasField("dim_value") else (dim.dim_param or None) for dim in shape.dim
    ]


def declared(name: str, elem_type: int, sizes: Sequence[Dim]) -> onnx.ValueInfoProto:
    """An input or output."""
    return helper.make_tensor_value_info(name, elem_type, list(sizes))
