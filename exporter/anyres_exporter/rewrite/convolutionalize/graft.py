"""New nodes and constants for a graph, under names that are still free in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper


class Graft:
    """Collects what is to grow onto a graph; nothing is changed until it is taken over."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._taken = {*_names(graph)}
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self._renamed: dict[str, str] = {}

    def node(self, op_type: str, inputs: Sequence[str], stem: str, **attributes: Any) -> str:
        """A new node with one output, whose name is returned; `stem` is what it stands for."""
        name = self._free(f"{stem}.{op_type}")
        self.nodes.append(helper.make_node(op_type, inputs, [name], name, **attributes))
        return name

    def copy(self, proto: onnx.NodeProto, inputs: Sequence[str]) -> str:
        """A node like another, with other inputs; the name of its first output is returned."""
        node = onnx.NodeProto()
        node.CopyFrom(proto)
        node.name = self._free(f"{proto.name or proto.output[0]}.{proto.op_type}")
        node.input[:] = inputs
        node.output[:] = [node.name]
        self.nodes.append(node)
        return node.name

    def constant(self, value: NDArray[Any], stem: str) -> str:
        """A new constant, whose name is returned."""
        name = self._free(stem)
        self.initializers.append(numpy_helper.from_array(value, name))
        return name

    def named(self, tensor: str, name: str) -> None:
        """Let a tensor that was made here have this name; any other is handed on under it."""
        tensor = self.name_of(tensor)
        made = any(tensor in node.output for node in self.nodes)
        if not made or tensor in self._renamed.values():
            self.nodes.append(helper.make_node("Identity", [tensor], [name], f"{name}.Identity"))
            return
        self._renamed[tensor] = name
        for node in self.nodes:
            for names in (node.input, node.output):
                names[:] = [name if own == tensor else own for own in names]

    def name_of(self, tensor: str) -> str:
        """What a tensor is called now."""
        return self._renamed.get(tensor, tensor)

    def absorb_biases(self, kept: Collection[str]) -> None:
        """A convolution and the constant added to it become one, but for tensors that are kept."""
        constants = {tensor.name: tensor for tensor in self.initializers}
        readers = Counter(name for node in self.nodes for name in node.input)
        makers = {name: node for node in self.nodes for name in node.output}
        for add in [node for node in self.nodes if node.op_type == "Add"]:
            made, bias = sorted(add.input, key=constants.__contains__)
            convolution = makers.get(made)
            if convolution is None or bias not in constants or made in kept or readers[made] > 1:
                continue
            if convolution.op_type != "Conv" or len(convolution.input) > 2:
                continue
            values = numpy_helper.to_array(constants[bias]).reshape(-1)
            convolution.input.append(self.constant(values, bias))
            convolution.output[:] = add.output
            self.nodes.remove(add)

    def _free(self, wanted: str) -> str:
        name, count = wanted, 1
        while name in self._taken:
            count += 1
            name = f"{wanted}.{count}"
        self._taken.add(name)
        return name


def _names(graph: onnx.GraphProto) -> Iterator[str]:
    yield from (info.name for info in (*graph.input, *graph.output))
    yield from (tensor.name for tensor in graph.initializer)
    yield from (sparse.values.name for sparse in graph.sparse_initializer)
    for node in graph.node:
        yield from (node.name, *node.output)
