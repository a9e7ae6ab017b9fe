"""Whether a network that is run in another way still says the same.

Other providers and precisions round differently. Before such a model is served it answers the same
images as on the processor in f32, at its warm-up sizes, and its classes are compared.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from anyres_proto.card import Output
from anyres_server.errors import InvalidRequest
from anyres_server.model import Array, Execution, Model, Network, Size
from anyres_server.repository.entries import Broken, Entry
from anyres_server.repository.warm_up import warm_up_sizes
from anyres_server.settings.per_model import ModelSettings

log = logging.getLogger(__name__)

CLOSE = 0.01  # of the largest value: how near a value must be, where there are no classes
SCORES = {"logits", "probabilities"}
CLASSES = {"class_map", "mask", "top_k_classes"}
MOST_PIXELS = 2**20  # of an image; larger sizes say no more


@dataclass(frozen=True)
class Agreement:
    """Compares models with themselves.

    Attributes:
        execution: how a model is run that has such settings.
        open_usual: loads a file for the processor, in f32.
        least: the part of all cells below which a model is not served.
    """

    execution: Callable[[ModelSettings], Execution]
    open_usual: Callable[[Path], Network]
    least: float

    def __call__(self, loaded: Model, path: Path) -> Entry:
        """The model with its way of running and its agreement, or why it is not served. Blocks."""
        model = replace(loaded, execution=self.execution(loaded.settings))
        if model.execution.usual:
            return model
        usual = self.open_usual(path)
        found = [_at(model, size, usual) for size in _sizes(model)]
        if not found:
            return model
        share = min(found)
        words = f"{share:.2%} of what it says agrees with the CPU in f32"
        log.info("model %s runs with %s: %s", model.name, model.execution, words)
        if share < self.least:
            why = f"with {model.execution} only {words}; {self.least:.2%} is asked for"
            return Broken(model.name, model.version, f"{why} (compute.agreement)")
        return replace(model, agreement=share)


def _at(model: Model, size: Size, usual: Network) -> float:
    images = _images(model, size)
    names = [output.name for output in model.card.outputs]
    pairs = zip(model.network(images, names), usual(images, names), strict=True)
    return min(
        agreeing(ours, theirs, output)
        for (ours, theirs), output in zip(pairs, model.card.outputs, strict=True)
    )


def agreeing(ours: Array, theirs: Array, output: Output) -> float:
    """The part of the cells with the same class; where there are no classes, of values that agree.

    Args:
        ours: (n, ...), one of the network's outputs.
        theirs: the same, from the other way of running it.
        output: what the card says of it.
    """
    if output.meaning in SCORES and output.channels > 1:
        axis = ours.ndim - 1 if output.layout == "NHWC" else 1
        return float((ours.argmax(axis) == theirs.argmax(axis)).mean())
    if output.meaning in CLASSES:
        return float((ours == theirs).mean())
    near = CLOSE * float(np.abs(theirs).max(initial=0))
    return float((np.abs(ours.astype(np.float64) - theirs) <= near).mean())


def _sizes(model: Model) -> Iterator[Size]:
    for size in model.settings.warm_up or warm_up_sizes(model.card):
        try:
            model.cost(size)
        except InvalidRequest:
            continue
        if size[0] * size[1] <= MOST_PIXELS:
            yield size


def _images(model: Model, size: Size) -> Array:
    """One picture of soft colours with some noise in it, as the network takes them."""
    taken = model.card.input
    rows, columns = (np.linspace(0, 3, side) for side in size)
    phases = np.arange(taken.channels)[:, None, None]
    wash = 127.5 + 100 * np.sin(rows[:, None] * 2 + phases) * np.cos(columns[None] * 3 + phases)
    noise = np.random.default_rng(0).normal(0, 12, wash.shape)
    pixels = np.clip(wash + noise, 0, 255).transpose(1, 2, 0)
    if taken.dtype == "uint8":
        made = pixels.astype(np.uint8)
    else:
        made = ((pixels * taken.scale - taken.mean) / taken.std).astype(np.float32)
    ordered = made if taken.layout == "NHWC" else made.transpose(2, 0, 1)
    return np.ascontiguousarray(ordered[None])
