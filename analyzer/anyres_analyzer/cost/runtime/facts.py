"""The facts about ONNX Runtime's CPU provider that its memory follows from: the one table.

What fuses and what is blocked was found out with graphs of two or three nodes and the optimized
file that onnxruntime 1.32 writes of them; sizes, by counting what its malloc is asked for. Where
its source says why (nchwc_transformer, allocation_planner, mem_pattern_planner, bfc_arena), the two
agree. `benchmarks/memory.py` holds the sum of it against running processes.
"""

from __future__ import annotations

CHANNEL_BLOCK = 16
"""Channels of a blocked (NCHWc) map are rounded up to it: 16 with AVX-512, 8 with AVX2. Measured:
a convolution to 2 classes makes 16 channels."""

CHANNEL_STEP = 4
"""A map is copied into blocks only if its channels are a multiple. Measured: a convolution of 20
channels is blocked, of 18 not; below a block, a convolution reads the plain map."""

FLOAT_BYTES = 4
"""Only float32 maps are blocked."""

FUSED_ACTIVATIONS = frozenset(
    {"Clip", "HardSigmoid", "HardSwish", "LeakyRelu", "Relu", "Sigmoid", "Tanh"}
)
"""Computed by the convolution before them, blocked or not, in its own output."""

BLOCKED_ACTIVATIONS = frozenset({"Gelu", "HardSigmoid", "HardSwish", "Relu", "Sigmoid", "Tanh"})
"""Take a blocked map as it is where they are not fused; others want it copied back."""

BLOCKED_POOLS = frozenset({"AveragePool", "MaxPool"})
"""Blocked wherever channels fill blocks, even if the map before has to be copied."""

BLOCKED_GLOBAL_POOLS = frozenset({"GlobalAveragePool", "GlobalMaxPool"})
"""Only if the map before is blocked already."""

BLOCKED_LINEAR = frozenset({b"half_pixel", b"asymmetric", b"align_corners"})
"""Coordinate modes of a linear Resize that keeps blocks; a nearest one has to be asymmetric and
round down, a cubic one never does."""

KEPT_NODES = BLOCKED_ACTIVATIONS | {"Add", "Concat", "Mul", "Sum"}
"""Nodes that stay in the graph when they go over to blocked maps; others are put in anew."""

GONE = frozenset({"Dropout", "Identity"})
"""Taken out before the first run."""

VIEWS = frozenset({"Flatten", "Reshape", "Squeeze", "Unsqueeze"})
"""Share the buffer of their input, unless it is the caller's or their output is."""

IN_PLACE = FUSED_ACTIVATIONS | {"Add", "Cast", "Div", "Mul", "Softmax", "Sub"}
"""May write over an input, which is done only where shapes are static: the planner compares them
before it knows the image. Measured: the residual sums of a dynamic ResNet-50 take maps of their
own."""

GEMM_THREADS_BYTES = 2**16
"""What a plain convolution unfolds at a time for each thread, unless its filters outnumber its
pixels; two threads are assumed."""

ARENA_FIRST_BYTES = 2**20
"""The arena's first region; each further one is twice as long, or the next power of two."""

ARENA_LARGEST_DOUBLING = 2**30
"""Up to which regions double."""

ARENA_ALIGNMENT = 256
"""What the arena and the memory pattern round a request up to."""

ARENA_LARGEST_REST = 2**27
"""A free block is split if it is twice as long as needed, or leaves so much."""

ARENA_HANDLE_SHARE = 32
"""Beside each region lies a table of an 8-byte handle for every 256 bytes of it. Measured: a region
of 64 MiB takes 66."""

ARENA_PACKED = frozenset({"ConvTranspose"})
"""Operators whose weights are packed before the first run into the arena itself, so that its first
regions are theirs; others' are packed beside it."""
