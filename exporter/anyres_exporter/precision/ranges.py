"""The range of every tensor that is rounded, from pictures.

minmax takes the extremes that were seen. entropy cuts off what is rare: of all thresholds it takes
the one at which the values in 8 bits, as a distribution, lose least information (Kullback and
Leibler) against the values as they were. Source: Migacz, "8-bit inference with TensorRT", 2017.

A picture is run at a time, and what it gave is counted and let go; entropy runs each twice, since a
histogram needs the extremes first.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper

from anyres_exporter.runtime import Runtime

Method: TypeAlias = Literal["entropy", "minmax"]
Range: TypeAlias = tuple[float, float]

BINS, STRIDE = 2048, 8  # of a histogram; and between the thresholds that are tried
SIGNED, UNSIGNED = 128, 256  # steps that 8 bits have on one side of zero
_ABSENT = 1e-4  # the share that an empty step borrows, so that its logarithm exists


def ranges(
    graph: ModelProto, tensors: Collection[str], images: Iterable[NDArray[Any]], method: Method
) -> dict[str, Range]:
    """The smallest and the largest value of each float tensor that 8 bits are to hold.

    Args:
        graph: in fp32.
        tensors: of the graph, its input among them where that is rounded.
        images: network inputs; iterated once, by entropy twice.
        method: what the extremes are.
    """
    watched = _watched(graph, tensors)
    found: dict[str, Range] = {}
    for name, values in _seen(watched, images):
        low, high = found.get(name, (0.0, 0.0))  # 0 is always held exactly: borders are of it
        found[name] = min(low, float(values.min())), max(high, float(values.max()))
    return found if method == "minmax" else _cut(watched, images, found)


def _cut(
    watched: _Watched, images: Iterable[NDArray[Any]], extremes: Mapping[str, Range]
) -> dict[str, Range]:
    counts = {name: np.zeros(BINS, np.int64) for name in extremes}
    for name, values in _seen(watched, images):
        low, high = extremes[name]
        largest = max(-low, high)
        counts[name] += np.histogram(np.abs(values), BINS, (0.0, largest or 1.0))[0]
    found = {}
    for name, (low, high) in extremes.items():
        largest = max(-low, high)
        limit = threshold(counts[name], UNSIGNED if low == 0 else SIGNED) / BINS * largest
        found[name] = max(low, -limit), min(high, limit)
    return found


def threshold(counts: NDArray[np.int64], steps: int) -> int:
    """How many bins to keep, so that `steps` of equal width tell most of the distribution.

    The first bin counts as the second does: it is where activations put what they cut to zero, and
    zero is held exactly. What is beyond the threshold is counted in the last bin that is kept.
    """
    smooth = counts.astype(np.float64)
    smooth[0] = smooth[1]
    kept = range(steps, counts.size + 1, STRIDE)
    losses = [_divergence(smooth, bins, steps) for bins in kept]
    return kept[int(np.argmin(losses))]


def _divergence(counts: NDArray[np.float64], bins: int, steps: int) -> float:
    """Between the first bins, with the tail in the last, and the same in so many steps."""
    reference = counts[:bins].copy()
    reference[-1] += counts[bins:].sum()
    there = counts[:bins] > 0
    edges = np.arange(steps) * bins // steps
    totals = np.add.reduceat(counts[:bins], edges)
    filled = np.add.reduceat(there.astype(np.float64), edges)
    widths = np.diff(edges, append=bins)
    coarse = np.repeat(totals / np.maximum(filled, 1), widths) * there
    return _kullback_leibler(_smoothed(reference), _smoothed(coarse))


def _smoothed(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shares, none of them zero."""
    shares = counts / (counts.sum() or 1.0)
    shares = np.maximum(shares, _ABSENT / counts.size)
    normal: NDArray[np.float64] = shares / shares.sum()
    return normal


def _kullback_leibler(of: NDArray[np.float64], by: NDArray[np.float64]) -> float:
    return float((of * np.log(of / by)).sum())


@dataclass(frozen=True)
class _Watched:
    """A graph that answers its inner tensors too."""

    runtime: Runtime
    tensors: frozenset[str]


def _watched(graph: ModelProto, tensors: Collection[str]) -> _Watched:
    watched = ModelProto()
    watched.CopyFrom(graph)
    own = {value.name for value in (*graph.graph.input, *graph.graph.output)}
    watched.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
        for name in sorted(set(tensors) - own)
    )
    return _Watched(Runtime(watched), frozenset(tensors))


def _seen(watched: _Watched, images: Iterable[NDArray[Any]]) -> Iterator[tuple[str, NDArray[Any]]]:
    for image in images:
        answers = {watched.runtime.input: image} | watched.runtime(image)
        for name in sorted(watched.tensors):
            yield name, answers[name]
