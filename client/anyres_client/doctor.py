"""Whether everything is there: what is installed, whether a server answers, and does it predict.

    findings = examine(client, asked=True)

A finding is `ok`, `missing` (something that could be there, and what brings it) or `broken`
(something that was asked for and does not work, and what to do).
"""

from __future__ import annotations

import platform
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Literal

import numpy as np

from anyres_client.answers import ModelSummary, size_text
from anyres_client.client import Client
from anyres_client.errors import ClientError, Unavailable
from anyres_proto.card import AxisContract, Card

State = Literal["ok", "missing", "broken"]
PROJECT = "anyres"
# What people install; the others are made of these, or for those who build the project.
EXTRAS = {
    "server": "serves models, and answers --local",
    "exporter": "makes ONNX files of PyTorch models",
    "analyzer": "says which sizes a file takes",
    "report": "writes the analyzer's page",
    "parquet": "reads and writes lists of images in Parquet files",
    "otel": "sends a server's spans to a collector",
    "web": "shows models on a page in the browser",
    "video": "predicts videos",
    "ray": "spreads batches over a cluster of Ray's",
}
REQUIREMENT = re.compile(r"^([\w.-]+)(?:\[([\w,-]+)\])?[^;]*(?:;.*extra == ['\"]([\w-]+)['\"])?")
SIDE = 64  # pixels of the image that is tried, where the model takes that


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    what: str
    state: State
    said: str


def examine(client: Client, *, asked: bool) -> Iterator[Finding]:
    """Look at everything, one thing after the other.

    Args:
        client: of the server that is looked at.
        asked: whether somebody named that server: then it is broken if it is not there.
    """
    yield Finding(PROJECT, "ok", f"{version(PROJECT)}, Python {platform.python_version()}")
    yield from _extras()
    yield from _server(client, asked=asked)


def _extras() -> Iterator[Finding]:
    needed = _needed()
    for extra, what in EXTRAS.items():
        if extra not in needed:
            continue
        lacking = sorted(name for name in _all_of(extra, needed) if not _installed(name))
        if lacking:
            said = f"{what}: pip install '{PROJECT}[{extra}]' (brings {', '.join(lacking)})"
            yield Finding(f"[{extra}]", "missing", said)
        else:
            yield Finding(f"[{extra}]", "ok", what)


def _server(client: Client, *, asked: bool) -> Iterator[Finding]:
    address = client.connection.address
    try:
        models = client.models()
    except Unavailable as error:
        start = "start one with `anyres serve FOLDER`, or name yours with --server"
        yield Finding("server", "broken" if asked else "missing", f"{error}; {start}")
        return
    except ClientError as error:
        yield Finding("server", "broken", str(error))
        return
    ready = sum(model.ready for model in models)
    state: State = "ok" if ready else "broken"
    yield Finding("server", state, f"{address} answers, {ready} of {len(models)} models ready")
    for model in models:
        yield _predicts(client, model)


def _predicts(client: Client, model: ModelSummary) -> Finding:
    """A small image through one model."""
    if not model.ready:
        return Finding(model.name, "broken", model.reason)
    try:
        card = client.model(model.name)
        size = _side(card.sizes.height), _side(card.sizes.width)
        prediction = client.predict(_image(card, size), model=model.name, output="logits")
    except ClientError as error:
        return Finding(model.name, "broken", str(error))
    values = prediction.logits
    if not np.isfinite(values).all():
        return Finding(model.name, "broken", f"{size_text(size)}: not all of its values are finite")
    took = f"{prediction.timing.total_s * 1e3:.0f} ms"
    return Finding(model.name, "ok", f"{size_text(size)} predicted in {took}")


def _image(card: Card, size: tuple[int, int]) -> np.ndarray:
    """Grey, as the model takes it: pixels, or its own input where those would mean nothing."""
    channels = card.input.channels
    if card.input.dtype == "uint8" or channels in (1, 3):
        return np.full((*size, channels), 128, np.uint8)
    return np.zeros((channels, *size), np.float32)


def _side(axis: AxisContract) -> int:
    """The smallest admissible size from the usual one on, or the largest there is."""
    if axis.maximum is not None and axis.maximum <= SIDE:
        return axis.maximum
    return axis.minimum + -(-max(0, SIDE - axis.minimum) // axis.step) * axis.step


def _needed() -> dict[str, list[tuple[str, tuple[str, ...]]]]:
    """What each extra names: packages, and their own extras."""
    needed: dict[str, list[tuple[str, tuple[str, ...]]]] = {}
    for line in requires(PROJECT) or []:
        found = REQUIREMENT.match(line)
        if found and found[3]:
            extras = tuple((found[2] or "").split(",")) if found[2] else ()
            needed.setdefault(found[3], []).append((found[1], extras))
    return needed


def _all_of(extra: str, needed: dict[str, list[tuple[str, tuple[str, ...]]]]) -> Iterator[str]:
    """The packages of an extra, and of those of ours that it is made of."""
    for name, extras in needed.get(extra, ()):
        if name == PROJECT:
            for inner in extras:
                yield from _all_of(inner, needed)
        else:
            yield name


def _installed(name: str) -> bool:
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True
