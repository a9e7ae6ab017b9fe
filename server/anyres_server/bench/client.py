"""A client in a process of its own: asks the server, or does the same work without one.

    server    encode -> gRPC -> decode
    loop      encode -> a token to the loop's process, and one back -> decode a rehearsed answer
    paired    both in turns, for the same image

The loop gets no pixels from here, as it has its own, so between its clients and it nothing is
copied: it is what a server would be that costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from time import perf_counter, process_time, sleep
from typing import Any

import grpc

from anyres_server.bench.images import Images
from anyres_server.bench.messages import Messages, Rehearsal, Told, messages
from anyres_server.bench.queue import PATIENCE_S, Place, heard, keep_memory, taken
from anyres_server.bench.work import Work

REST_S = 0.1  # ONNX Runtime's threads spin for some hundredths of a second
OPTIONS = (("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1))


@dataclass(frozen=True)
class Asked:
    """One request, as its client saw it; seconds of a clock that all processes share."""

    index: int
    began: float
    ended: float
    told: Told | None = None

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.ended - self.began


@dataclass(frozen=True)
class Done:
    """What one process did in a lap, and the processors' time that it took, in seconds."""

    asked: tuple[Any, ...]
    cpu_s: float


@dataclass(frozen=True)
class Failed:
    """A request that the server did not answer."""

    index: int
    reason: str


@dataclass(frozen=True)
class Token:
    """How a client and the loop call each other."""

    number: int
    tokens: Any  # a queue to the loop: (client, index)
    back: Connection


def client(work: Work, address: str, place: Place, token: Token, orders: Connection) -> None:
    """Do what is ordered until None comes: a kind of lap and how many requests it has."""
    keep_memory()
    made = messages(work, images := Images(work))
    del images
    rehearsal = Rehearsal(made, work)
    with grpc.insecure_channel(address, OPTIONS) as channel:
        sides: dict[str, Callable[[int], Asked]] = {
            "server": _asking(channel.unary_unary(made.method), made),
            "loop": _rehearsing(token, made, rehearsal),
        }
        orders.send("ready")
        while order := heard(orders, "whoever runs the benchmark"):
            kind, count = order
            orders.send(_lap(sides, kind, place, count))


def _lap(
    sides: dict[str, Callable[[int], Asked]], kind: str, place: Place, count: int
) -> Failed | Done:
    done: list[Any] = []
    cpu = process_time()
    for index in taken(place, count):
        try:
            if kind == "paired":
                first, second = ("server", "loop") if index % 2 else ("loop", "server")
                pair = {side: _rested(sides[side], index) for side in (first, second)}
                done.append((pair["server"], pair["loop"]))
            else:
                done.append(sides[kind](index))
        except grpc.RpcError as error:
            return Failed(index, str(error.details()))
    return Done(tuple(done), process_time() - cpu)


def _rested(side: Callable[[int], Asked], index: int) -> Asked:
    """Asked when threads that spin have given up: the loop's would compete with the server's."""
    sleep(REST_S)
    return side(index)


def _asking(call: Any, messages: Messages) -> Callable[[int], Asked]:
    def ask(index: int) -> Asked:
        began = perf_counter()
        answer = call(messages.request(index), timeout=PATIENCE_S)
        _, told = messages.read(answer)
        return Asked(index, began, perf_counter(), told)

    return ask


def _rehearsing(token: Token, messages: Messages, rehearsal: Rehearsal) -> Callable[[int], Asked]:
    def rehearse(index: int) -> Asked:
        began = perf_counter()
        messages.request(index)
        token.tokens.put((token.number, index))
        token.back.recv_bytes()
        rehearsal.read(index)
        return Asked(index, began, perf_counter())

    return rehearse
