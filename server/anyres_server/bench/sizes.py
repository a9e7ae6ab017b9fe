"""The sizes that a benchmark asks: drawn from a range, or those that are named.

    256-2048            each side log-uniform from 256 to 2048: as many from 256 to 512 as from 512
                        to 1024; a side that the model does not take moves down to one that it does
    512x512,640x480     WIDTHxHEIGHT, each as often as the others

The same seed draws the same sizes, so whoever is compared does the same work.
"""

from __future__ import annotations

import re
from math import exp, log
from random import Random

from anyres_proto.card import AxisContract, SizeContract
from anyres_server.errors import InvalidRequest
from anyres_server.model import Size

RANGE = re.compile(r"([1-9]\d*)-([1-9]\d*)")
NAMED = re.compile(r"([1-9]\d*)x([1-9]\d*)", re.IGNORECASE)
WANTED = "--sizes is a range like 256-2048, or WIDTHxHEIGHT like 512x512,640x480"


def draw(text: str, contract: SizeContract, count: int, seed: int = 0) -> tuple[Size, ...]:
    """So many sizes, (height, width), that a model takes.

    Raises:
        InvalidRequest: the text says no sizes, or some that the model does not take.
    """
    random = Random(seed)
    if found := RANGE.fullmatch(text.strip()):
        low, high = int(found[1]), int(found[2])
        if low > high:
            raise InvalidRequest(f"{WANTED}; got a range from {low} down to {high}")
        axes = (contract.height, contract.width)
        return tuple(_pair(axes, low, high, random) for _ in range(count))
    named = [_named(word, contract) for word in text.split(",")]
    sizes = [named[i % len(named)] for i in range(count)]
    random.shuffle(sizes)
    return tuple(sizes)


def _pair(axes: tuple[AxisContract, AxisContract], low: int, high: int, random: Random) -> Size:
    height, width = (_taken(axis, exp(random.uniform(log(low), log(high)))) for axis in axes)
    return height, width


def _taken(axis: AxisContract, side: float) -> int:
    """The nearest side below that the model takes; the smallest where there is none."""
    most = round(side) if axis.maximum is None else min(round(side), axis.maximum)
    return axis.minimum + max(0, most - axis.minimum) // axis.step * axis.step


def _named(word: str, contract: SizeContract) -> Size:
    found = NAMED.fullmatch(word.strip())
    if not found:
        raise InvalidRequest(f"{WANTED}; got {word!r}")
    width, height = int(found[1]), int(found[2])
    for name, side, axis in (("height", height, contract.height), ("width", width, contract.width)):
        if not axis.admits(side):
            raise InvalidRequest(
                f"{word.strip()}: the model takes {name} {axis.expected()}: {axis.reason}"
            )
    return height, width
