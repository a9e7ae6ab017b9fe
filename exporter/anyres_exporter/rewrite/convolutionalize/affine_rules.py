"""Arithmetic with numbers of its own for every cell: a batch norm of the flattened map.

In a larger image a cell lies at every place of some window, so no map can be scaled like that. But
the layer behind contracts the window, and takes the numbers into its weights:

    W (a * x + b) + c  =  (W * a) x + (W b + c)
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anyres_exporter.rewrite.convolutionalize.call import Call
from anyres_exporter.rewrite.convolutionalize.view import Affine, View, spread

# What a view that still owes something may meet; everything else is refused.
TAKES_OWED = frozenset(
    "Add BatchNormalization Div Dropout Flatten Gemm Identity MatMul Mul Reshape Squeeze Sub "
    "Transpose Unsqueeze".split()
)
_ARITHMETIC = frozenset({"Add", "Div", "Mul", "Sub"})


def owing(call: Call) -> View | None:
    """The view that owes a node's arithmetic; None where the node stands on the map itself."""
    if call.node.op_type not in _ARITHMETIC or sum(view is not None for view in call.views) > 1:
        return None
    index = 1 if call.views[0] is not None else 0
    values = spread(call.view, call.value(index))
    if values is None or (call.view.owed is None and not _by_cell(values)):
        return None
    if call.node.op_type == "Div" and index == 0:
        call.refuse("it divides by the map, with numbers of its own for every cell")
    scale, shift = _terms(call.node.op_type, values, first=index == 0)
    return _owed(call, scale, shift)


def normalising(call: Call) -> View:
    """The view that owes a BatchNormalization of every flattened cell by itself."""
    epsilon = call.node.attributes.get("epsilon", 1e-5)
    gain, bias, mean, variance = (call.value(index).astype(np.float64) for index in range(1, 5))
    scale = gain / np.sqrt(variance + epsilon)
    column = (-1, *(1,) * (len(call.only.dims) - 2))
    found = [spread(call.only, part.reshape(column)) for part in (scale, bias - mean * scale)]
    if found[0] is None or found[1] is None:
        call.refuse("its numbers are not those of the flattened window")
    return _owed(call, found[0], found[1])


def _owed(call: Call, scale: NDArray[Any] | float, shift: NDArray[Any] | float) -> View:
    before = call.view.owed or Affine(np.ones((1,) * 4), np.zeros((1,) * 4), call.node.label)
    return replace(call.view, owed=before.then(scale, shift))


def _terms(
    op_type: str, values: NDArray[Any], *, first: bool
) -> tuple[NDArray[Any] | float, NDArray[Any] | float]:
    """Scale and shift of arithmetic with a constant, which may stand first."""
    values = values.astype(np.float64)
    match op_type:
        case "Add":
            return 1.0, values
        case "Sub":
            return (-1.0, values) if first else (1.0, -values)
        case "Mul":
            return values, 0.0
        case _:
            return 1 / values, 0.0


def _by_cell(values: NDArray[Any]) -> bool:
    return bool((values != values[:, :, :1, :1]).any())
