"""The facts about ONNX Runtime's CPU provider that its memory follows from: the one table.

Read from onnxruntime 1.32 (the optimizers' conv_activation, conv_bn, conv_add and nchwc passes, the
convolution kernels, bfc_arena) and held against what processes take by `benchmarks/memory.py`.
"""

from __future__ import annotations

CHANNEL_BLOCK = 16
"""Channels of a blocked (NCHWc) map are rounded up to it: 16 with AVX-512, 8 with AVX2. Measured:
a convolution to 2 classes makes 16 channels."""

FLOAT_BYTES = 4
"""Only float32 maps are blocked."""

FUSED_ACTIVATIONS = frozenset({"Clip", "HardSigmoid", "LeakyRelu", "Relu", "Sigmoid", "Tanh"})
"""Computed by the convolution before them, in its own output."""

FOLDED = frozenset({"BatchNormalization", "Dropout", "Identity"})
"""Gone before the first run: into the convolution before them, or altogether."""

BLOCKED_POOLS = frozenset({"AveragePool", "GlobalAveragePool", "GlobalMaxPool", "MaxPool"})
"""Keep a map blocked."""

BLOCKED_ELEMENTWISE = FUSED_ACTIVATIONS | {"Add", "Mul", "Sum"}
"""Likewise, where every input is blocked and of one shape."""

IN_PLACE = FUSED_ACTIVATIONS | {
    *("Add", "Cast", "Div", "Flatten", "Mul", "Reshape", "Softmax", "Squeeze", "Sub", "Unsqueeze")
}
"""May write over an input, which is done only where shapes are static: the planner compares them
before it knows the image. Measured: the residual sums of a dynamic ResNet-50 take maps of their
own."""

ARENA_FIRST_BYTES = 2**20
"""The arena's first region; each further one is twice as long, or the next power of two."""

ARENA_ALIGNMENT = 256
"""What the arena rounds a request up to."""
