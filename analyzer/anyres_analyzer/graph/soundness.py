"""What a file may say and no operator can mean: refused before anything is derived from it.

ONNX's own checker knows each operator's inputs, outputs and attributes, but not that a stride of 0
goes nowhere; the table here does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import onnx
from onnx import AttributeProto, TensorProto, checker

from anyres_analyzer.errors import NotAModel, UnsupportedGraph

OLDEST_OPSET = 7
STANDARD_DOMAINS = ("", "ai.onnx")
CONTROL_FLOW = "control flow is not analysed"
SEQUENCES = "sequences and optionals are not analysed"
UNSUPPORTED: Mapping[str, str] = dict.fromkeys(
    ("If", "Loop", "Scan", "SequenceMap"), CONTROL_FLOW
) | dict.fromkeys(
    (
        "ConcatFromSequence Optional OptionalGetElement OptionalHasElement SequenceAt "
        "SequenceConstruct SequenceEmpty SequenceErase SequenceInsert SequenceLength "
        "SplitToSequence"
    ).split(),
    SEQUENCES,
)
_STILL_RUN = frozenset({"GroupNormalization"})  # deprecated at opset 18, and run by runtimes
_LARGEST = 1 << 31  # what an attribute counts in pixels or channels
_AT_LEAST = {
    "blocksize": 1,
    "dilations": 1,
    "group": 1,
    "kernel_shape": 1,
    "output_padding": 0,
    "pads": -_LARGEST,
    "strides": 1,
}


def refuse_opset(version: int) -> None:
    """Standard operators older or newer than what is known.

    Raises:
        UnsupportedGraph: their meaning is not known.
    """
    newest = onnx.defs.onnx_opset_version()
    if not OLDEST_OPSET <= version <= newest:
        raise UnsupportedGraph(
            f"the model's operators are of opset {version}; "
            f"opsets {OLDEST_OPSET} to {newest} are analysed"
        )


def is_text(model: onnx.ModelProto) -> bool:
    """Whether every name is UTF-8; protobuf hands out what is not as bytes, or not at all."""
    try:
        return all(isinstance(text, str) for text in _texts(model))
    except UnicodeDecodeError:
        return False


def _texts(model: onnx.ModelProto) -> Iterator[str]:
    graph = model.graph
    for info in (*graph.input, *graph.output):
        yield info.name
        yield from (dim.dim_param for dim in info.type.tensor_type.shape.dim)
    for node in graph.node:
        yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
        for attribute in node.attribute:
            yield attribute.name
            yield from (text.decode() for text in (attribute.s, *attribute.strings))
    for entry in model.metadata_props:
        yield from (entry.key, entry.value)
    yield from (entry.domain for entry in model.opset_import)
    yield from (tensor.name for tensor in graph.initializer)


class NodeCheck:
    """Checks the nodes of one model."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._context = checker.C.CheckerContext()
        self._context.ir_version = model.ir_version or onnx.IR_VERSION
        self._context.opset_imports = {o.domain: o.version for o in model.opset_import}

    def __call__(self, proto: onnx.NodeProto, label: str) -> None:
        """Refuse a node that its operator's definition does not allow.

        Raises:
            NotAModel: no runtime could run it.
            UnsupportedGraph: one could, but nothing is claimed about such a graph.
        """
        if not any(proto.output):
            raise NotAModel(f"node {label} makes nothing")
        unsupported = UNSUPPORTED.get(proto.op_type) if proto.domain in STANDARD_DOMAINS else None
        if unsupported:
            raise UnsupportedGraph(f"node {label}: {unsupported}")
        if any(t.data_location == TensorProto.EXTERNAL for t in tensors_in(proto)):
            raise UnsupportedGraph(f"node {label}: an attribute that lies in external data")
        if proto.op_type in _STILL_RUN:
            return
        try:
            checker.check_node(proto, self._context)
        except checker.ValidationError as error:
            raise NotAModel(f"node {label}: {str(error).strip().splitlines()[0]}") from error
        if proto.domain in STANDARD_DOMAINS:
            _refuse_numbers(proto, label)
            _refuse_lengths(proto, label)


def _refuse_numbers(proto: onnx.NodeProto, label: str) -> None:
    for attribute in proto.attribute:
        least = _AT_LEAST.get(attribute.name)
        if least is None:
            continue
        numbers = attribute.ints if attribute.type == AttributeProto.INTS else (attribute.i,)
        wrong = next((n for n in numbers if not least <= n < _LARGEST), None)
        if wrong is not None:
            raise NotAModel(f"node {label}: {attribute.name} of {wrong}")


def _refuse_lengths(proto: onnx.NodeProto, label: str) -> None:
    """What describes a window has a number for each of its axes; pads have one for each side."""
    if proto.op_type not in _WINDOWED:
        return
    lengths = {a.name: len(a.ints) for a in proto.attribute if a.name in _PER_AXIS and a.ints}
    if len({length / _PER_AXIS[name] for name, length in lengths.items()}) > 1:
        listed = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        raise NotAModel(f"node {label}: its attributes are for different axes: {listed} numbers")


_WINDOWED = frozenset({"Conv", "ConvTranspose", "MaxPool", "AveragePool", "LpPool"})
_PER_AXIS = {"kernel_shape": 1, "strides": 1, "dilations": 1, "pads": 2}


def tensors_in(proto: onnx.NodeProto) -> Iterator[TensorProto]:
    """Every dense tensor among a node's attributes."""
    for attribute in proto.attribute:
        if attribute.HasField("t"):
            yield attribute.t
        yield from attribute.tensors
