"""The processes of a benchmark, and one lap of each kind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from anyres_server.bench.client import Asked, Failed, Token, client
from anyres_server.bench.loop import loop
from anyres_server.bench.queue import SPAWN, Place, heard, place
from anyres_server.bench.work import Work
from anyres_server.engine.bare import Way
from anyres_server.errors import InvalidRequest

STOP_S = 10.0


@dataclass(frozen=True)
class Lap:
    """Some requests, from the first that began to the last that ended."""

    asked: tuple[Asked, ...]

    @property
    def seconds(self) -> float:
        """How long it took."""
        return max(each.ended for each in self.asked) - min(each.began for each in self.asked)


@dataclass(frozen=True)
class Crew:
    """Clients and the loop, waiting for orders."""

    work: Work
    place: Place
    tokens: Any
    clients: list[Connection]
    loop: Connection

    def server(self, count: int) -> Lap:
        """The first requests, asked of the server by all clients.

        Raises:
            InvalidRequest: the server refused one.
        """
        return Lap(tuple(self._ask("server", count, self.clients)))

    def beside(self, count: int, way: Way) -> Lap:
        """The same requests, done by the loop for the same clients."""
        return Lap(tuple(self._with_loop("loop", count, way, self.clients)))

    def alone(self, count: int, way: Way) -> Lap:
        """The network alone, on inputs of the same sizes, with nobody beside it."""
        self.place.value = 0
        self.loop.send(("alone", way, count))
        return Lap(tuple(heard(self.loop, "the loop")))

    def paired(self, count: int, way: Way) -> list[tuple[Asked, Asked]]:
        """One client alone, asking server and loop in turns for the same image."""
        return list(self._with_loop("paired", count, way, self.clients[:1]))

    def _with_loop(self, kind: str, count: int, way: Way, clients: list[Connection]) -> list[Any]:
        self.loop.send(("tokens", way, count))
        assert heard(self.loop, "the loop") == "serving"
        try:
            return self._ask(kind, count, clients)
        finally:
            for _ in range(way.at_once):
                self.tokens.put(None)
            heard(self.loop, "the loop")

    def _ask(self, kind: str, count: int, clients: list[Connection]) -> list[Any]:
        self.place.value = 0
        for each in clients:
            each.send((kind, count))
        done: list[Any] = []
        failed: list[Failed] = []
        for each in clients:
            answer = heard(each, "a client")
            failed += [answer] if isinstance(answer, Failed) else []
            done += [] if isinstance(answer, Failed) else answer
        if failed:
            height, width = self.work.sizes[failed[0].index]
            raise InvalidRequest(f"the server refused {width}x{height}: {failed[0].reason}")
        return done


@contextmanager
def crew(path: Path, work: Work, address: str, clients: int) -> Iterator[Crew]:
    """Start a loop and so many clients; they end with the block."""
    where, tokens = place(), SPAWN.SimpleQueue()
    pipes = [SPAWN.Pipe() for _ in range(clients + 1)]
    backs = [SPAWN.Pipe(duplex=False) for _ in range(clients)]
    processes: list[Any] = [
        SPAWN.Process(
            target=client,
            args=(work, address, where, Token(i, tokens, backs[i][0]), pipes[i][1]),
            daemon=True,
        )
        for i in range(clients)
    ]
    answering = [back for _, back in backs]
    processes.append(
        SPAWN.Process(
            target=loop, args=(path, work, where, tokens, answering, pipes[-1][1]), daemon=True
        )
    )
    for each in processes:
        each.start()
    for _, far in pipes:
        far.close()  # so that a process that ends is noticed
    mine = [near for near, _ in pipes]
    try:
        for near in mine:
            assert heard(near, "a process of the benchmark") == "ready"
        yield Crew(work, where, tokens, mine[:-1], mine[-1])
    finally:
        _end(mine, processes)


def _end(orders: list[Connection], processes: list[Any]) -> None:
    for each, process in zip(orders, processes, strict=True):
        if process.is_alive():
            each.send(None)
    for process in processes:
        process.join(STOP_S)
        if process.is_alive():
            process.kill()
            process.join()
