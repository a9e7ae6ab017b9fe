"""The loop in a process of its own: what somebody writes who needs no server.

alone     the network again and again, one input after the other, and nobody beside it
tokens    the whole job of a server (scale, run, reduce) for clients who send only tokens
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np

from anyres_server.bench.client import Asked, Done
from anyres_server.bench.images import Images
from anyres_server.bench.queue import Place, heard, keep_memory, taken
from anyres_server.bench.work import Work
from anyres_server.engine.bare import BareNetwork, open_bare
from anyres_server.model import Array
from anyres_server.picture.image import open_image

Job = Callable[[int], object]


def loop(
    path: Path, work: Work, place: Place, tokens: Any, backs: list[Connection], orders: Connection
) -> None:
    """Do what is ordered until None comes: a kind of lap, a way to run, and how many requests."""
    keep_memory()
    images = Images(work)
    opened = cache(lambda way: open_bare(path, way))
    orders.send("ready")
    while order := heard(orders, "whoever runs the benchmark"):
        kind, way, count = order
        network, cpu = opened(way), process_time()
        with ThreadPoolExecutor(way.at_once) as threads:
            if kind == "alone":
                job = _network_alone(network, work, images)
                laps = [threads.submit(_alone, job, place, count) for _ in range(way.at_once)]
            else:
                job = _whole_job(network, work, images)
                laps = [threads.submit(_serve, job, tokens, backs) for _ in range(way.at_once)]
                orders.send("serving")
            done = tuple(asked for lap in laps for asked in lap.result())
        orders.send(Done(done, process_time() - cpu))


def _alone(job: Job, place: Place, count: int) -> list[Asked]:
    done = []
    for index in taken(place, count):
        began = perf_counter()
        job(index)
        done.append(Asked(index, began, perf_counter()))
    return done


def _serve(job: Job, tokens: Any, backs: list[Connection]) -> list[Asked]:
    """Answer tokens until None comes."""
    while token := tokens.get():
        client, index = token
        job(index)
        backs[client].send_bytes(b"-")
    return []


def _network_alone(network: BareNetwork, work: Work, images: Images) -> Job:
    names = [output.name for output in work.reduction.outputs]
    return lambda index: network(images.input(index), names)


def _whole_job(network: BareNetwork, work: Work, images: Images) -> Job:
    if work.plain:
        return _network_alone(network, work, images)
    reduction, spec = work.reduction, work.card.input
    names = [output.name for output in reduction.outputs]

    def job(index: int) -> object:
        height, width = work.sizes[index]
        opened = open_image(images.sent(index), spec, height * width)
        answers = network(opened.decode().cut(slice(height), slice(width)), names)
        return reduction.reduce(
            *(
                _planes(answer[0], output.layout)
                for output, answer in zip(reduction.outputs, answers, strict=True)
            )
        )

    return job


def _planes(answer: Array, layout: str) -> Array:
    if answer.ndim < 2:
        return answer.reshape(-1, 1, 1)
    if answer.ndim == 2:
        return answer[None]
    return np.moveaxis(answer, -1, 0) if layout == "NHWC" else answer
