"""Numbers for weights that nobody trained: seeded, and such that activations keep their scale."""

from __future__ import annotations

from collections.abc import Callable
from math import prod, sqrt
from typing import TypeAlias

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float32]
Noise: TypeAlias = Callable[[Generator, tuple[int, ...]], Floats]


def kernel(generator: Generator, shape: tuple[int, ...]) -> Floats:
    """Of variance 2 / fan-in for a weight (outputs, inputs, ...) (He et al., 2015)."""
    deviation = np.float32(sqrt(2 / prod(shape[1:])))
    return generator.standard_normal(shape, np.float32) * deviation


def transposed(generator: Generator, shape: tuple[int, ...]) -> Floats:
    """The same for a weight (inputs, outputs, ...)."""
    deviation = np.float32(sqrt(2 / (shape[0] * prod(shape[2:]))))
    return generator.standard_normal(shape, np.float32) * deviation


def small(generator: Generator, shape: tuple[int, ...]) -> Floats:
    """Around 0: biases and means."""
    return generator.standard_normal(shape, np.float32) * np.float32(0.01)


def near_one(generator: Generator, shape: tuple[int, ...]) -> Floats:
    """Positive: scales and variances."""
    return np.float32(0.75) + np.float32(0.5) * generator.random(shape, np.float32)
