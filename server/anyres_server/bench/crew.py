"""The processes of a benchmark, and one lap of each kind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from os import sysconf
from pathlib import Path
from typing import Any

from anyres_server.bench.client import Asked, Done, Failed, Token, client
from anyres_server.bench.loop import loop
from anyres_server.bench.queue import SPAWN, Place, heard, place
from anyres_server.bench.work import Work
from anyres_server.engine.bare import Way
from anyres_server.errors import InvalidRequest

STOP_S = 10.0


@dataclass(frozen=True)
class Lap:
    """Some requests, from the first that began to the last that ended.

    The processors' time is that of whoever answers and of the clients, in seconds; None where it
    cannot be known.
    """

    asked: tuple[Asked, ...]
    cpu_s: float | None
    clients_cpu_s: float

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
    server_pid: int | None

    def server(self, count: int) -> Lap:
        """The first requests, asked of the server by all clients.

        Raises:
            InvalidRequest: the server refused one.
        """
        before = self._server_cpu_s()
        done = self._ask("server", count, self.clients)
        after = self._server_cpu_s()
        spent = None if before is None or after is None else after - before
        return Lap(done.asked, spent, done.cpu_s)

    def beside(self, count: int, way: Way) -> Lap:
        """The same requests, done by the loop for the same clients."""
        done, loop = self._with_loop("loop", count, way, self.clients)
        return Lap(done.asked, loop.cpu_s, done.cpu_s)

    def alone(self, count: int, way: Way) -> Lap:
        """The network alone, on inputs of the same sizes, with nobody beside it."""
        self.place.value = 0
        self.loop.send(("alone", way, count))
        done: Done = heard(self.loop, "the loop")
        return Lap(done.asked, done.cpu_s, 0.0)

    def paired(self, count: int, way: Way) -> list[tuple[Asked, Asked]]:
        """One client alone, asking server and loop in turns for the same image."""
        done, _ = self._with_loop("paired", count, way, self.clients[:1])
        return list(done.asked)

    def _server_cpu_s(self) -> float | None:
        """That the server's process has taken so far."""
        if self.server_pid is None:
            return None
        after_name = Path(f"/proc/{self.server_pid}/stat").read_text("ascii").rpartition(")")[2]
        user, system = after_name.split()[11:13]  # proc_pid_stat(5), fields 14 and 15
        return (int(user) + int(system)) / sysconf("SC_CLK_TCK")

    def _with_loop(
        self, kind: str, count: int, way: Way, clients: list[Connection]
    ) -> tuple[Done, Done]:
        self.loop.send(("tokens", way, count))
        assert heard(self.loop, "the loop") == "serving"
        try:
            done = self._ask(kind, count, clients)
        finally:
            for _ in range(way.at_once):
                self.tokens.put(None)
            loop: Done = heard(self.loop, "the loop")
        return done, loop

    def _ask(self, kind: str, count: int, clients: list[Connection]) -> Done:
        self.place.value = 0
        for each in clients:
            each.send((kind, count))
        answers = [heard(each, "a client") for each in clients]
        for failed in (each for each in answers if isinstance(each, Failed)):
            height, width = self.work.sizes[failed.index]
            raise InvalidRequest(f"the server refused {width}x{height}: {failed.reason}")
        asked = tuple(one for each in answers for one in each.asked)
        return Done(asked, sum(each.cpu_s for each in answers))


@contextmanager
def crew(
    path: Path, work: Work, address: str, clients: int, server_pid: int | None
) -> Iterator[Crew]:
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
        yield Crew(work, where, tokens, mine[:-1], mine[-1], server_pid)
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
