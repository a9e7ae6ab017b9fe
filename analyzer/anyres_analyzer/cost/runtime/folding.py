"""Which nodes ONNX Runtime takes out of a graph before it runs, by their neighbours."""

from __future__ import annotations

from anyres_analyzer.graph.graph import Graph, Node
from anyres_analyzer.shapes.tensor import Tensors


class Folding:
    """A graph with, for each tensor, the nodes that read it."""

    def __init__(self, graph: Graph, tensors: Tensors) -> None:
        self._graph, self._tensors = graph, tensors
        self._readers: dict[str, list[Node]] = {}
        for node in graph.nodes:
            for name in dict.fromkeys(node.inputs):
                self._readers.setdefault(name, []).append(node)

    def is_part_of_weights(self, node: Node, maker: str) -> bool:
        """A scale or shift of each channel, which a convolution's weights and bias take in."""
        if node.op_type == "BatchNormalization":
            return len(node.made) == 1
        constants = [name for name in node.inputs if name in self._graph.origins]
        if maker != "Conv" or node.op_type not in ("Add", "Mul") or len(constants) != 1:
            return False
        constant = self._tensors[constants[0]].shape
        return constant[-3:] == (self._tensors[node.made[0]].shape[1], 1, 1)

    def is_padding_of_a_convolution(self, node: Node) -> bool:
        """Zeros around a map that one convolution reads."""
        if node.op_type != "Pad" or node.attributes.get("mode", b"constant") != b"constant":
            return False
        reader = self._only_reader(node)
        around = self._graph.constants.get(node.inputs[2]) if len(node.inputs) > 2 else None
        zeros = around is None or (around.value is not None and not around.value.any())
        return zeros and reader is not None and reader.op_type == "Conv"

    def is_half_of_its_reader(self, node: Node) -> bool:
        """x * Sigmoid(x), and the Gelu of a linear layer's sum with its bias, are one kernel."""
        reader = self._only_reader(node)
        match node.op_type, reader.op_type if reader else "":
            case "Sigmoid", "Mul":
                return reader is not None and node.inputs[0] in reader.inputs
            case "Add", "Gelu":
                constants = self._graph.constants
                biases = [constants[name] for name in node.inputs if name in constants]
                return len(biases) == 1 and len(biases[0].shape) == 1
        return False

    def _only_reader(self, node: Node) -> Node | None:
        readers = self._readers.get(node.made[0], [])
        outputs = {output.name for output in self._graph.outputs}
        return readers[0] if len(readers) == 1 and node.made[0] not in outputs else None
