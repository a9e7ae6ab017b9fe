"""Which operator changed in which opset, and how it was said before.

What is in none of these tables is the same under the older definition, or it is refused by name: an
attribute that is not known there may go where it says the default, an operator, an input, a type or
a word that came later may not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from anyres_exporter.rewrite.older import composed_rules as composed
from anyres_exporter.rewrite.older import signature_rules as signature
from anyres_exporter.rewrite.older.site import Site

Rule: TypeAlias = Callable[[Site], None]

_REDUCTIONS = (
    *("ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax"),
    *("ReduceMean", "ReduceMin", "ReduceProd", "ReduceSumSquare"),
)
# operator: the opset of its new definition, and the rule for all older ones
RULES: Mapping[str, tuple[int, Rule]] = {
    **dict.fromkeys(_REDUCTIONS, (18, signature.reduced)),
    "AveragePool": (19, signature.pooled),
    "CastLike": (15, signature.cast_like),
    "DFT": (20, signature.transformed),
    "Gelu": (20, composed.gelu),
    "GridSample": (20, signature.sampled),
    "GroupNormalization": (21, composed.group_norm),
    "HardSwish": (14, composed.hard_swish),
    "LayerNormalization": (17, composed.layer_norm),
    "LpPool": (18, signature.pooled),
    "Mish": (18, composed.mish),
    "Pad": (18, signature.padded),
    "QuantizeLinear": (21, signature.quantized),
    "RMSNormalization": (23, composed.rms_norm),
    "Reshape": (14, signature.reshaped),
    "Resize": (18, signature.resized),
    "RoiAlign": (16, signature.aligned),
    "Shape": (15, signature.shape),
    "Split": (18, signature.split),
    "Swish": (24, composed.swish),
}
# operator, attribute, word: the opset that it came with, where the attribute itself is older
WORDS: Mapping[tuple[str, str, bytes], int] = {
    ("Pad", "mode", b"wrap"): 19,
    ("Resize", "coordinate_transformation_mode", b"half_pixel_symmetric"): 19,
    **{
        (operator, "reduction", word): 18
        for operator in ("ScatterElements", "ScatterND")
        for word in (b"max", b"min")
    },
}
