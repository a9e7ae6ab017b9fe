"""What onnx-tool counts: instructions of the ONNX graph as it is, operator by operator.

Its source (onnx_tool/node.py) gives each operator the x86 instructions that a number takes: an
exponential 32, a division 4, a square root 24. It calls them MACs.
"""

from __future__ import annotations

from collections.abc import Mapping

from anyres_analyzer.cost.counts import (
    MOVES,
    by_output_channels,
    neighbours,
    normalized,
    per_input,
    per_output,
    summed,
    windows,
)
from anyres_analyzer.cost.reconcile import Convention, Rule

# Instructions per number that comes out, where nothing else decides.
_INSTRUCTIONS = {
    1: "Add Sub Min Max Mod Mul Neg Abs Ceil Floor Round Relu Sign Less LessOrEqual Equal Greater "
    "GreaterOrEqual And Or Not Xor CumSum",
    2: "Clip PRelu LeakyRelu QuantizeLinear DequantizeLinear",
    4: "Div Reciprocal HardSigmoid",
    5: "HardSwish",
    7: "InstanceNormalization",
    24: "Sqrt",
    31: "BatchNormalization",
    32: "Exp Pow Sigmoid",
    34: "Gelu",
    35: "Elu",
    36: "Softmax",
    39: "Sin Cos",
    43: "Log",
    76: "Softplus Tanh",
    80: "LogSoftmax",
}
_RULES: Mapping[str, Rule] = {
    operator: Rule(f"{count} per number", per_output(count))
    for count, operators in _INSTRUCTIONS.items()
    for operator in operators.split()
} | {
    "ConvTranspose": Rule("output pixels by output channels by kernel", by_output_channels),
    "bias of a convolution": Rule("1 per number", per_output(1)),
    "bias of a linear layer": Rule("1 per number", per_output(1)),
    "linear resize": Rule("4 per number", per_output(4)),
    "cubic resize": Rule("8 per number", per_output(8)),
    "MaxPool": Rule("1 per number in each window", windows),
    "AveragePool": Rule("1 per number in each window", windows),
    "GlobalAveragePool": Rule(
        "1 per number that goes in, 4 per number that comes out",
        lambda site: site.inputs[0].elements + 4 * site.output.elements,
    ),
    "ReduceMean": Rule("1 per number that goes in", per_input(1)),
    "ReduceSum": Rule("1 per number that goes in", per_input(1)),
    "ReduceMax": Rule("1 per number that goes in", per_input(1)),
    "ReduceMin": Rule("1 per number that goes in", per_input(1)),
    "LRN": Rule("37 per number, and 1 per channel in reach", neighbours),
    "LayerNormalization": Rule("7 per number, 29 per position", normalized),
    "Sum": Rule("1 per number and addition", summed),
}

ONNX_TOOL = Convention(
    tool="onnx-tool",
    version="1.0.1",
    unit="MACs, counted as instructions",
    looks_at="the ONNX graph",
    rules=_RULES,
    # It has no rule for the last two, and warns.
    ignored=MOVES
    | {"Conv", "linear layer", "product of two maps", "nearest resize", "Erf"}
    | {"GlobalMaxPool", "GroupNormalization"},
    torch=False,
    parameters="every constant that a node reads",
)
