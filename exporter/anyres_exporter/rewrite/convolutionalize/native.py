"""The proof: at its native size the converted graph gives the classifier's own answer.

Where a pool was dropped there are several answers there, one for each cell. Each is what the
classifier's own tail says of a map that is that cell everywhere, whatever layers follow. And where
all of them are linear up to the logits, the mean of the cells is the classifier's answer:

    mean over cells of (W x + b)  =  W (mean of x) + b
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from anyres_exporter.rewrite.convolutionalize.asking import Array, Tail, dense, noise, original
from anyres_exporter.rewrite.convolutionalize.convert import Answer, Converted
from anyres_exporter.rewrite.convolutionalize.refusal import NotConvertible

Arrays = Mapping[str, Array]
TOLERANCE = 1e-5  # of the largest magnitude: float32 sums in another order
IMAGES = 3


@dataclass(frozen=True)
class Native:
    """The largest difference over all outputs, and as a part of the largest value there."""

    images: int
    max_abs_error: float
    max_rel_error: float


def prove(converted: Converted) -> Native:
    """Compare the two on seeded noise of the native size.

    Raises:
        NotConvertible: they differ by more than `TOLERANCE`.
        DoesNotRun: one of them does not run.
    """
    source = converted.source
    wanted = {name for answer in converted.answers for name in (answer.logits, answer.root)}
    ask, run = original(source, wanted), dense(converted)
    tails = {answer: Tail(source, answer) for answer in converted.answers if answer.dropped}
    errors: list[Error] = []
    batch = source.graph.batch
    for seed in range(IMAGES):
        images = noise(seed + batch, source, source.size)[:batch]
        told, made = ask(images), run(images)
        for answer in converted.answers:
            if answer.dropped:
                errors.append(_cells_differ(answer, tails[answer], told, made))
            if answer.dropped and answer.bent is None:
                mean = made[answer.map].mean((2, 3), keepdims=True)
                errors.append(_differ(f"{answer.map}, its mean", told[answer.logits], mean))
            if not answer.dropped:
                errors.append(_differ(answer.map, told[answer.logits], made[answer.map]))
                errors.append(_differ(answer.output, told[answer.output], made[answer.output]))
    errors += _batches_differ(converted)
    tensors = {error.tensor for error in errors}
    worst = max((_worst(errors, name) for name in tensors), key=lambda found: found[1])
    if not worst[1] <= TOLERANCE:
        raise NotConvertible(
            f"at {source.size[1]}x{source.size[0]} it differs from the classifier by "
            f"{worst[1]:.1e} of the largest value; expected at most {TOLERANCE:.0e}"
        )
    return Native(IMAGES * batch, *worst)


@dataclass(frozen=True)
class Error:
    """One comparison: the largest difference, and the largest value that was to be found."""

    tensor: str
    difference: float
    largest: float


def _worst(errors: list[Error], tensor: str) -> tuple[float, float]:
    """Of all images together: an answer near zero is no small number to be right about."""
    own = [error for error in errors if error.tensor == tensor]
    worst = max(error.difference for error in own)
    return worst, worst / (max(error.largest for error in own) or 1.0)


def _differ(tensor: str, told: Array, made: Array) -> Error:
    """`told` is one answer for each image, and to be found in every cell of `made`."""
    expected = np.asarray(told, np.float64)
    if expected.shape != made.shape:
        expected = expected.reshape(*made.shape[:2], 1, 1)
    same = expected == made  # infinities too, as the logarithm of no chance at all
    with np.errstate(invalid="ignore"):
        worst = float(np.where(same, 0.0, np.abs(expected - made)).max(initial=0.0))
    largest = float(np.abs(expected).max(initial=0.0, where=np.isfinite(expected)))
    return Error(tensor, worst if np.isfinite(worst) else np.inf, largest)


def _cells_differ(answer: Answer, tail: Tail, told: Arrays, made: Arrays) -> Error:
    """Each dense answer against the tail on a map that is the cell everywhere."""
    last_map, dense_logits = told[answer.root], made[answer.map]
    expected = np.empty(dense_logits.shape)
    for y, x in np.ndindex(*dense_logits.shape[2:]):
        cell = last_map[:, :, y : y + 1, x : x + 1]
        logits = tail(np.ascontiguousarray(np.broadcast_to(cell, last_map.shape)))
        expected[:, :, y, x] = logits.reshape(dense_logits.shape[:2])
    return _differ(f"{answer.map}, each cell", expected, dense_logits)


def _batches_differ(converted: Converted) -> list[Error]:
    """Two images at once against each by itself, where the graph takes several."""
    if not converted.analysis.input.dynamic_batch:
        return []
    run = dense(converted)
    images = noise(2, converted.source, converted.source.size)
    together = run(images)
    alone = [run(image[np.newaxis]) for image in images]
    return [
        _differ(
            f"{name}, two at once", np.concatenate([each[name] for each in alone]), together[name]
        )
        for name in run.outputs
    ]
