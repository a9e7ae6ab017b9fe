"""A tensor at one input size."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TypeProto, helper

FEW = 16  # floats that may be scales of a resize; more are a bias


@dataclass(frozen=True)
class Tensor:
    """Its shape, ONNX element type, and value where the graph computes it.

    `value` is known for constants and for what is derived from shapes, never for pixels.
    """

    shape: tuple[int, ...]
    elem_type: int
    value: NDArray[Any] | None = None

    @cached_property
    def elements(self) -> int:
        """How many numbers it holds."""
        return prod(self.shape)

    @cached_property
    def bytes(self) -> int:
        """What it takes in memory."""
        return self.elements * int(helper.tensor_dtype_to_np_dtype(self.elem_type).itemsize)

    @cached_property
    def signature(self) -> Hashable:
        """Equal for tensors that no operator's shape rule can tell apart."""
        value = None if self.value is None else self.value.tobytes()
        return self.shape, self.elem_type, value

    @cached_property
    def type_proto(self) -> TypeProto:
        """What ONNX's inference is told of it."""
        return helper.make_tensor_type_proto(self.elem_type, self.shape)

    @property
    def may_steer(self) -> bool:
        """Whether its value can decide a shape: whole numbers, or a few (scales, limits)."""
        if self.value is None:
            return False
        return self.value.size <= FEW or not np.issubdtype(self.value.dtype, np.floating)

    def same_as(self, other: Tensor) -> bool:
        """Whether both are certainly the same numbers."""
        return self is other or (self.value is not None and self.signature == other.signature)


Tensors = Mapping[str, Tensor]
