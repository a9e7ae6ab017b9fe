"""What each operator does to the field of an image axis: the table. A new operator is a new row.

A rule gets a `Call` and returns the field of the node's outputs. Local operators compose a `Reach`;
the others name themselves as breakers, with the reason a reader needs.
"""

from __future__ import annotations

from collections.abc import Mapping

from anyres_analyzer.field.border_rules import padded, sliced
from anyres_analyzer.field.layout_rules import (
    divided,
    expanded,
    gathered,
    gathered_at_points,
    joined,
    moved,
    multiplied,
    reshaped,
    shuffled,
    unshuffled,
)
from anyres_analyzer.field.merge_rules import pointwise
from anyres_analyzer.field.propagation import Rule
from anyres_analyzer.field.resize_rules import resized
from anyres_analyzer.field.statistic_rules import (
    batch_normalised,
    dropped,
    layer_normalised,
    mean_variance_normalised,
    normalised,
    pooled_globally,
    reduced,
    scattered,
    soft_over_axis,
    sorted_over_axis,
)
from anyres_analyzer.field.window_rules import transposed, windowed

_POINTWISE = """
    Abs Acos Acosh Add And Asin Asinh Atan Atanh BitShift Cast CastLike Ceil Celu Clip Cos
    Cosh DequantizeLinear Div Elu Equal Erf Exp Floor Gelu Greater GreaterOrEqual
    HardSigmoid HardSwish Identity IsInf IsNaN LRN LeakyRelu Less LessOrEqual Log Max Mean Min Mish
    Mod Mul Neg Not Or PRelu Pow QuantizeLinear Reciprocal Relu Round Selu Shrink Sigmoid Sign Sin
    Sinh Softplus Softsign Sqrt Sub Sum Swish Tan Tanh ThresholdedRelu Where Xor
""".split()
_REDUCTIONS = """
    ArgMax ArgMin ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin
    ReduceProd ReduceSum ReduceSumSquare
""".split()

_SCATTERED = """
    Attention Compress CumSum DFT DeformConv GRU GridSample LSTM
    MaxRoiPool NonZero RNN ReverseSequence RoiAlign STFT
""".split()

RULES: Mapping[str, Rule] = (
    dict.fromkeys(_POINTWISE, pointwise)
    | dict.fromkeys(("Conv", "MaxPool", "AveragePool", "LpPool"), windowed)
    | dict.fromkeys(("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"), pooled_globally)
    | dict.fromkeys(_REDUCTIONS, reduced)
    | dict.fromkeys(("InstanceNormalization", "GroupNormalization"), normalised)
    | dict.fromkeys(("Softmax", "LogSoftmax", "Hardmax", "LpNormalization"), soft_over_axis)
    | dict.fromkeys(("LayerNormalization", "RMSNormalization"), layer_normalised)
    | dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), reshaped)
    | dict.fromkeys(("MatMul", "Gemm"), multiplied)
    | dict.fromkeys(_SCATTERED, scattered)
    | dict.fromkeys(("Resize", "Upsample"), resized)
    | {
        "BatchNormalization": batch_normalised,
        "Concat": joined,
        "ConvTranspose": transposed,
        "DepthToSpace": shuffled,
        "Dropout": dropped,
        "Expand": expanded,
        "Gather": gathered,
        "GatherND": gathered_at_points,
        "MeanVarianceNormalization": mean_variance_normalised,
        "Pad": padded,
        "Slice": sliced,
        "SpaceToDepth": unshuffled,
        "Split": divided,
        "TopK": sorted_over_axis,
        "Transpose": moved,
    }
)
