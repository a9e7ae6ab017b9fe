"""What stands for each operator of a tail in the convolutional graph: the table.

A rule gets a `Call`, grafts the nodes that stand for it and returns the view of its first output.
A new operator is a new row; what has none is refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping

from anyres_exporter.rewrite.convolutionalize.call import Rule
from anyres_exporter.rewrite.convolutionalize.channel_rules import (
    highest,
    layer_normalised,
    normalised_over_channels,
    soft_over_channels,
)
from anyres_exporter.rewrite.convolutionalize.layout_rules import gathered, moved, reshaped
from anyres_exporter.rewrite.convolutionalize.linear_rules import convolved, gemm, multiplied
from anyres_exporter.rewrite.convolutionalize.pointwise_rules import joined, normalised, pointwise
from anyres_exporter.rewrite.convolutionalize.pool_rules import pooled, pooled_globally, reduced

_POINTWISE = """
    Abs Add Cast Celu Clip Div Dropout Elu Erf Exp Gelu HardSigmoid HardSwish
    Identity LeakyRelu Log Max Min Mish Mul Neg PRelu Pow Reciprocal Relu Selu
    Shrink Sigmoid Softplus Softsign Sqrt Sub Sum Swish Tanh ThresholdedRelu
""".split()
_REDUCTIONS = "ReduceL1 ReduceL2 ReduceMax ReduceMean ReduceMin ReduceSum ReduceSumSquare".split()

RULES: Mapping[str, Rule] = (
    dict.fromkeys(_POINTWISE, pointwise)
    | dict.fromkeys(_REDUCTIONS, reduced)
    | dict.fromkeys(("Flatten", "Reshape", "Squeeze", "Unsqueeze"), reshaped)
    | dict.fromkeys(("GlobalAveragePool", "GlobalMaxPool"), pooled_globally)
    | dict.fromkeys(("AveragePool", "MaxPool"), pooled)
    | dict.fromkeys(("Softmax", "LogSoftmax", "Hardmax"), soft_over_channels)
    | dict.fromkeys(("ArgMax", "ArgMin"), highest)
    | {
        "BatchNormalization": normalised,
        "Concat": joined,
        "Conv": convolved,
        "Gather": gathered,
        "Gemm": gemm,
        "LayerNormalization": layer_normalised,
        "LpNormalization": normalised_over_channels,
        "MatMul": multiplied,
        "Transpose": moved,
    }
)
