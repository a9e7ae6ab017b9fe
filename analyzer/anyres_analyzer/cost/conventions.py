"""What tools for torch modules count, and where they differ from one per multiply-add.

Read from the source of the versions named here, and checked against them on real networks; see
`reconcile` for how the tables are used. Sources: fvcore/nn/jit_handles.py and flop_count.py;
ptflops/pytorch_ops.py and pytorch_engine.py; torchinfo/layer_info.py; thop/profile.py and
vision/basic_hooks.py.
"""

from __future__ import annotations

from collections.abc import Mapping

from anyres_analyzer.cost.counts import (
    MOVES,
    at_output_size,
    averaged,
    channels_an_image,
    exponentials,
    features_an_image,
    nothing,
    once_an_image,
    per_input,
    per_output,
    scale_and_shift_an_image,
    unseen,
)
from anyres_analyzer.cost.instructions import ONNX_TOOL
from anyres_analyzer.cost.reconcile import Convention, Count, Otherwise, Rule

# What tools for torch modules pass over, unless their table says otherwise.
_PASSED_OVER = MOVES | {
    "linear layer",
    "product of two maps",
    "bias of a convolution",
    "bias of a linear layer",
    "nearest resize",
    "linear resize",
    "cubic resize",
    *"Conv ConvTranspose Add Sub Mul Div Sum Neg Abs Sqrt Reciprocal Pow Exp Log Erf Min Max Size "
    "Relu LeakyRelu PRelu Elu Selu Celu Clip Sigmoid HardSigmoid HardSwish Tanh Softplus Softsign "
    "Mish Gelu Softmax LogSoftmax BatchNormalization InstanceNormalization GroupNormalization LRN "
    "MaxPool AveragePool GlobalAveragePool GlobalMaxPool ReduceMean ReduceMax ReduceSum Floor Ceil "
    "Round Equal Less Greater And Or Not SpaceToDepth".split(),
}
_SDPA = Otherwise("F.scaled_dot_product_attention, which it does not see", unseen)
_FUNCTION = Otherwise("called as a function", nothing)
_METHOD = Otherwise("called as a method of the tensor", nothing)
_ALL_PARAMETERS = "everything that a module's parameters() gives"

FVCORE = Convention(
    tool="fvcore",
    version="0.1.5.post20221221",
    unit="FLOPs, a multiply-add being one",
    looks_at="a trace of the torch module",
    rules={
        "product of two maps": Rule("1 per multiply-add", nothing, (_SDPA,)),
        "BatchNormalization": Rule("2 per number", per_output(2)),
        "InstanceNormalization": Rule(
            "5 per number", per_output(5), (Otherwise("without scale and shift", per_output(4)),)
        ),
        "LayerNormalization": Rule("5 per number", per_output(5)),
        "GroupNormalization": Rule("5 per number", per_output(5)),
        "nearest resize": Rule("1 per number that comes out", per_output(1)),
        "linear resize": Rule("4 per number that comes out", per_output(4)),
        "GlobalAveragePool": Rule("1 per number that goes in", per_input(1)),
        "ReduceMean": Rule(
            "not counted", nothing, (Otherwise("AdaptiveAvgPool2d(1)", per_input(1)),)
        ),
        "AveragePool": Rule(
            "not counted", nothing, (Otherwise("AdaptiveAvgPool2d", per_input(1)),)
        ),
    },
    ignored=_PASSED_OVER,
    torch=True,
    parameters=_ALL_PARAMETERS,
)


def _twice(name: str, count: Count, twice: Count) -> Rule:
    """ptflops hooks the module, and counts again the function that the module calls."""
    why = f"nn.{name} is counted, and again the function in it"
    return Rule(why, twice, (Otherwise("called as a function", count),))


PTFLOPS = Convention(
    tool="ptflops",
    version="0.7.5",
    unit="MACs",
    looks_at="hooks on torch modules and patched functions (its default backend)",
    rules={
        "bias of a convolution": Rule("1 per number that comes out", per_output(1)),
        "bias of a linear layer": Rule("1 per number that comes out", per_output(1)),
        "product of two maps": Rule(
            "1 per multiply-add of torch.matmul",
            nothing,
            (Otherwise("written a @ b", unseen), _SDPA),
        ),
        "BatchNormalization": Rule("2 per number", per_output(2)),
        "InstanceNormalization": Rule(
            "1 per number", per_output(1), (Otherwise("with scale and shift", per_output(2)),)
        ),
        "LayerNormalization": Rule("1 per number", per_output(1)),
        "GroupNormalization": Rule("2 per number", per_output(2)),
        "Relu": _twice("ReLU", per_output(1), per_output(2)),
        "PRelu": _twice("PReLU", per_output(1), per_output(2)),
        "Elu": _twice("ELU", per_output(1), per_output(2)),
        "Gelu": _twice("GELU", per_output(1), per_output(2)),
        "Erf": _twice("GELU", per_output(1), per_output(2)),
        "LeakyRelu": Rule("1 per number", per_output(1), (_FUNCTION,)),
        "Clip": Rule(
            "1 per number of nn.ReLU6", per_output(1), (Otherwise("clamp or Hardtanh", nothing),)
        ),
        "Sigmoid": Rule("not counted", nothing, (Otherwise("part of SiLU", per_output(1)),)),
        "Softmax": Rule("1 per number", per_output(1), (_METHOD,)),
        "MaxPool": _twice("MaxPool2d", per_input(1), per_input(2)),
        "AveragePool": _twice("AvgPool2d", per_input(1), per_input(2)),
        "GlobalAveragePool": _twice("AdaptiveAvgPool2d", per_input(1), per_input(2)),
        "GlobalMaxPool": _twice("AdaptiveMaxPool2d", per_input(1), per_input(2)),
        "ReduceMean": Rule(
            "not counted",
            nothing,
            (
                Otherwise("nn.AdaptiveAvgPool2d", per_input(2)),
                Otherwise("F.adaptive_avg_pool2d", per_input(1)),
            ),
        ),
        "nearest resize": _twice("Upsample", per_output(1), per_output(2)),
        "linear resize": _twice("Upsample", per_output(1), per_output(2)),
        "cubic resize": _twice("Upsample", per_output(1), per_output(2)),
        "Add": Rule("not counted: a + b", nothing, (Otherwise("torch.add", per_output(1)),)),
        "Mul": Rule("not counted: a * b", nothing, (Otherwise("torch.mul", per_output(1)),)),
    },
    ignored=_PASSED_OVER,
    torch=True,
    parameters="parameters() that require a gradient",
)

TORCHINFO = Convention(
    tool="torchinfo",
    version="1.8.0",
    unit="mult-adds",
    looks_at="hooks on torch modules, by their weights",
    rules={
        "ConvTranspose": Rule("counted at the output's size", at_output_size),
        "bias of a convolution": Rule("1 per number that comes out", per_output(1)),
        "linear layer": Rule("once an image, at however many positions", once_an_image),
        "bias of a linear layer": Rule("1 per feature, once an image", features_an_image),
        "product of two maps": Rule("no module, not seen", unseen),
        "BatchNormalization": Rule("2 per channel, whatever the size", channels_an_image(2)),
        "GroupNormalization": Rule("2 per channel, whatever the size", channels_an_image(2)),
        "LayerNormalization": Rule("once an image: its weights", scale_and_shift_an_image),
        "InstanceNormalization": Rule(
            "not counted", nothing, (Otherwise("with scale and shift", channels_an_image(2)),)
        ),
        "PRelu": Rule(
            "1 per channel", channels_an_image(1), (Otherwise("one slope for all", lambda site: 1),)
        ),
    },
    ignored=_PASSED_OVER,
    torch=True,
    parameters=_ALL_PARAMETERS,
)


def _upsampled(operations: int) -> Rule:
    return Rule(
        f"{operations} per number that comes out of nn.Upsample",
        per_output(operations),
        (Otherwise("F.interpolate, which it does not see", nothing),),
    )


THOP = Convention(
    tool="thop",
    version="0.1.1.post2209072238",
    unit="ops, a multiply-add being one",
    looks_at="hooks on torch modules",
    rules={
        "ConvTranspose": Rule("counted at the output's size", at_output_size),
        "product of two maps": Rule("no module, not seen", unseen),
        "BatchNormalization": Rule("4 per number", per_output(4)),
        "LayerNormalization": Rule("4 per number", per_output(4)),
        "InstanceNormalization": Rule(
            "2 per number",
            per_output(2),
            (
                Otherwise("with scale and shift", per_output(4)),
                Otherwise("GroupNorm, which it has no rule for", nothing),
            ),
        ),
        "PRelu": Rule("1 per number", per_output(1)),
        "Softmax": Rule("3 n - 1 for n numbers of nn.Softmax", exponentials, (_FUNCTION,)),
        "AveragePool": Rule(
            "1 per number that comes out",
            per_output(1),
            (Otherwise("AdaptiveAvgPool2d", averaged),),
        ),
        "GlobalAveragePool": Rule(
            "1 per number that goes in or comes out",
            averaged,
            (_FUNCTION,),
        ),
        "ReduceMean": Rule("not counted", nothing, (Otherwise("nn.AdaptiveAvgPool2d", averaged),)),
        "nearest resize": _upsampled(1),
        "linear resize": _upsampled(11),
        "cubic resize": _upsampled(259),
    },
    ignored=_PASSED_OVER,
    torch=True,
    parameters="parameters of the modules that it has a rule for",
)

CONVENTIONS: Mapping[str, Convention] = {
    convention.tool: convention for convention in (FVCORE, PTFLOPS, TORCHINFO, THOP, ONNX_TOOL)
}
