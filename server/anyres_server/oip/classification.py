"""The classification extension: the best classes of each image, as strings `value:index:name`.

Of scores for the whole image (n, classes), those are the highest. Where a network scores every cell
of a grid, the mean over all cells stands for the image: the dense evaluation of Simonyan and
Zisserman (2015, section 3.2), which makes a classifier's answer of any image's score map.

    >>> best(np.array([[0.5, 2.0, 1.0]]), 2, ("cat", "dog", "owl"))
    [[b'2.000000:1:dog', b'1.000000:2:owl']]
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from anyres_proto.card import Output
from anyres_server.errors import InvalidRequest
from anyres_server.model import Array

SCORES = ("logits", "probabilities", "values")


def check_scores(owner: str, output: Output | None) -> None:
    """Refuse an output whose numbers are no scores."""
    if output is None or output.meaning not in SCORES or output.layout == "NHW":
        raise InvalidRequest(f"{owner} holds no scores of classes to choose from")


def scores(values: Array, *, channels_last: bool) -> Array:
    """One score a class for each image (n, classes), of an output (n, classes, ...)."""
    last = np.moveaxis(values, -1, 1) if channels_last and values.ndim > 2 else values
    flat = last.reshape(len(last), last.shape[1] if last.ndim > 1 else 1, -1)
    return np.asarray(flat.mean(axis=2, dtype=np.float64))


def best(of_images: Array, count: int, names: Sequence[str]) -> list[list[bytes]]:
    """The highest scores of each image, the best first; all where there are fewer than `count`."""
    order = np.argsort(-of_images, axis=1, kind="stable")[:, :count]
    return [
        [_words(float(row[index]), int(index), names) for index in chosen]
        for row, chosen in zip(of_images, order, strict=True)
    ]


def _words(value: float, index: int, names: Sequence[str]) -> bytes:
    name = f":{names[index]}" if index < len(names) else ""
    return f"{value:.6f}:{index}{name}".encode()
