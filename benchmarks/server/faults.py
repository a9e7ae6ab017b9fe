"""What goes wrong around a server while clients ask it: they must not notice.

    python -m benchmarks.server.faults [MODEL.onnx] [--size 512x512] [--times 20]

    killed client     streams, and is killed with -9 in the middle
    half-open         connections that say nothing, half a preface, or half a request
    replaced          the model's file is another one every second
    full disk         a new version is copied to a disk that is full before it is there
    corrupt           the model's file becomes noise, half of itself, or empty
    stopped           SIGTERM: who was in before gets an answer, who comes later is told

What to look at: nothing lost, that is, no request without an answer that asked before the server
was told to stop; and the server is up.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from itertools import repeat, takewhile
from pathlib import Path
from typing import TypeAlias

import grpc
import grpc.aio
import onnx
from benchmarks.server.asking import OPTIONS, Answer, asked, predicting, request

from anyres_server.bench.served import Served, folder_of, serving

CLIENTS = 4
SETTLE_S = 0.2  # between one mishap and the next
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS_FRAME = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
HALVES = (b"", PREFACE[:10], PREFACE, PREFACE + SETTINGS_FRAME, PREFACE + SETTINGS_FRAME[:5])
# To whoever asks a server that has been told to stop; gRPC itself cancels what reaches the port
# while it closes.
TOLD = {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
# A program whose files may be so long and no longer. Set in a process of its own: Python that runs
# in a fork of this one, whose other threads speak gRPC, may crash.
ON_A_FULL_DISK = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
os.execvp(sys.argv[2], sys.argv[2:])
"""
FULL_QUEUE = {"ANYRES_LIMITS_REQUESTS": "16", "ANYRES_OBSERVE_LOG_LEVEL": "error"}


@dataclass(frozen=True)
class Asked:
    """One request: how it ended, and what came back."""

    answer: Answer
    body: bytes


@dataclass(frozen=True)
class Ground:
    """A model's file, what is asked of it, and how often each thing goes wrong."""

    model: Path
    size: tuple[int, int]  # height, width
    times: int
    every_s: float = 1.0

    @property
    def message(self) -> bytes:
        """The request that all clients send."""
        return request(self.model.stem, *self.size)


@dataclass(frozen=True)
class Seen:
    """What became of the requests, and of the server."""

    asked: tuple[Asked, ...]
    lost: tuple[Asked, ...]
    up: bool
    note: str = ""


Mishap: TypeAlias = Callable[[Served, Path], Awaitable[str]]


async def meanwhile(ground: Ground, mishap: Mishap) -> Seen:
    """Let something go wrong while clients ask; every request must be answered."""
    with ExitStack() as stack:
        folder = stack.enter_context(folder_of(ground.model))
        served = stack.enter_context(serving(folder, FULL_QUEUE))
        async with grpc.aio.insecure_channel(served.address, OPTIONS) as channel:
            seen, note = await _while_asked(
                channel, ground.message, partial(mishap, served, folder)
            )
            last = await _all_at_once(channel, ground.message, 16)
        done = (*seen, *last)
        lost = tuple(each for each in done if not each.answer.good)
        return Seen(done, lost, served.process.poll() is None, note)


async def _while_asked(
    channel: grpc.aio.Channel, message: bytes, act: Callable[[], Awaitable[str]]
) -> tuple[list[Asked], str]:
    going, done = asyncio.Event(), list[Asked]()
    over = asyncio.Event()

    async def client() -> None:
        for each in takewhile(lambda _: not over.is_set(), repeat(message)):
            done.append(await _asked(channel, each))
            going.set()

    async with asyncio.TaskGroup() as clients:
        for _ in range(CLIENTS):
            clients.create_task(client())
        await going.wait()
        try:
            note = await act()
        finally:
            over.set()
    return done, note


async def _all_at_once(channel: grpc.aio.Channel, message: bytes, count: int) -> list[Asked]:
    """As many as the gate lets in: a place that somebody kept would be missed."""
    return await asyncio.gather(*(_asked(channel, message) for _ in range(count)))


async def _asked(channel: grpc.aio.Channel, message: bytes) -> Asked:
    body = b""

    async def call() -> None:
        nonlocal body
        body = await predicting(channel)(message)

    answer = await asked(call)
    return Asked(answer, body)


async def killed_client(ground: Ground, served: Served, folder: Path) -> str:
    """Somebody streams and is killed, again and again."""
    height, width = ground.size
    for _ in range(ground.times):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "benchmarks.server.streamer"),
            *(served.address, ground.model.stem, f"{width}x{height}"),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert process.stdout is not None
        assert await process.stdout.readline() == b"answered\n"
        process.kill()
        await process.communicate()
    await asyncio.sleep(SETTLE_S)
    return f"{ground.times} killed"


async def half_open(ground: Ground, served: Served, folder: Path) -> str:
    """Many connections that never say a whole word; most stay, some go without a goodbye."""
    host, port = served.address.rsplit(":", 1)
    with ExitStack() as stack:
        for number in range(ground.times * len(HALVES)):
            opened = stack.enter_context(closing(socket.create_connection((host, int(port)))))
            opened.sendall(HALVES[number % len(HALVES)])
            if number % 3 == 0:  # leave with a reset
                opened.setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00"
                )
                opened.close()
        await asyncio.sleep(ground.every_s)
    return f"{ground.times * len(HALVES)} connections"


async def replaced(ground: Ground, served: Served, folder: Path) -> str:
    """The model becomes another one, and the first again."""
    own = folder / ground.model.name
    files = (ground.model.read_bytes(), inverted(ground.model))
    for number in range(1, ground.times + 1):
        put(own, files[number % 2])
        await asyncio.sleep(ground.every_s)
    return f"{ground.times} replacements"


async def full_disk(ground: Ground, served: Served, folder: Path) -> str:
    """New versions that break off while they are copied, in place and beside."""
    whole = ground.model.stat().st_size
    for number in range(ground.times):
        own = folder / ground.model.name if number % 2 else folder / ground.model.stem / "2"
        target = own if number % 2 else own / "model.onnx"
        target.parent.mkdir(parents=True, exist_ok=True)
        room = whole * (number + 1) // (ground.times + 1)
        copying = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", ON_A_FULL_DISK, str(room)),
            *("cp", "--remove-destination", ground.model, target),
            stderr=subprocess.DEVNULL,
        )
        assert await copying.wait() != 0, "the disk was to be full"
        assert (size := target.stat().st_size) == room, f"{target}: {size} of {room} bytes"
        await asyncio.sleep(ground.every_s)
    return f"{ground.times} copies broke off"


async def corrupt(ground: Ground, served: Served, folder: Path) -> str:
    """The model's file is spoilt in several ways."""
    whole = ground.model.read_bytes()
    spoilt = (b"", whole[: len(whole) // 2], os.urandom(len(whole)), whole[::-1], b"\x08\x08" * 99)
    for number in range(ground.times):
        put(folder / ground.model.name, spoilt[number % len(spoilt)])
        await asyncio.sleep(ground.every_s)
    return f"{ground.times} files"


def put(path: Path, content: bytes) -> None:
    """Replace a file at once."""
    beside = path.with_suffix(".being-written")
    beside.write_bytes(content)
    beside.rename(path)


def inverted(model: Path) -> bytes:
    """The same network with another answer: the weights of its last node are negated."""
    network = onnx.load(model)
    output = network.graph.output[0].name
    last = next(node for node in network.graph.node if output in node.output)
    for weight in network.graph.initializer:
        if weight.name in last.input:
            weight.CopyFrom(
                onnx.numpy_helper.from_array(-onnx.numpy_helper.to_array(weight), weight.name)
            )
    return network.SerializeToString()


async def stopped(ground: Ground) -> Seen:
    """SIGTERM under load: who asked before is answered, who asks later is told UNAVAILABLE."""
    asked_before: list[Asked] = []
    asked_later: list[Asked] = []
    exits: list[int | None] = []
    for _ in range(ground.times):
        with ExitStack() as stack:
            folder = stack.enter_context(folder_of(ground.model))
            served = stack.enter_context(serving(folder, FULL_QUEUE))
            async with grpc.aio.insecure_channel(served.address, OPTIONS) as channel:
                told: list[float] = []
                done, _ = await _while_asked(
                    channel, ground.message, partial(_terminate, served, told)
                )
            exits.append(served.process.wait(60))
        asked_before += [each for each in done if each.answer.sent < told[0] - SETTLE_S / 2]
        asked_later += [each for each in done if each.answer.sent >= told[0] - SETTLE_S / 2]
    lost = [each for each in asked_before if not each.answer.good]
    lost += [each for each in asked_later if each.answer.code not in TOLD]
    codes = Counter(each.answer.code.name for each in asked_later)
    note = f"{ground.times} stops; later: {dict(codes)}; exit codes {sorted(set(map(str, exits)))}"
    return Seen((*asked_before, *asked_later), tuple(lost), set(exits) == {0}, note)


async def _terminate(served: Served, told: list[float]) -> str:
    await asyncio.sleep(SETTLE_S)
    told.append(asyncio.get_running_loop().time())
    served.process.send_signal(signal.SIGTERM)
    await asyncio.to_thread(served.process.wait, 60)
    return ""


MISHAPS: dict[str, Callable[[Ground, Served, Path], Awaitable[str]]] = {
    "killed client": killed_client,
    "half-open": half_open,
    "replaced": replaced,
    "full disk": full_disk,
    "corrupt": corrupt,
}


def _all(ground: Ground) -> Iterator[tuple[str, Seen]]:
    for name, mishap in MISHAPS.items():
        yield name, asyncio.run(meanwhile(ground, partial(mishap, ground)))
    yield "stopped", asyncio.run(stopped(ground))


def main() -> None:
    """Print a line for each fault."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", type=Path, nargs="?", default=Path("out/models/climate_unet.onnx"))
    parser.add_argument("--size", default="512x512", metavar="WIDTHxHEIGHT")
    parser.add_argument("--times", type=int, default=20)
    given = parser.parse_args()
    width, height = map(int, given.size.split("x"))
    for name, seen in _all(Ground(given.model, (height, width), given.times)):
        state = "up" if seen.up else "DOWN"
        if name == "stopped":
            state = "ended well" if seen.up else "ENDED BADLY"
        count = f"{len(seen.asked)} requests, {len(seen.lost)} lost"
        print(f"{name:14} {count}; {seen.note}; {state}", flush=True)
        if seen.lost:
            print("    ", dict(Counter(each.answer.code.name for each in seen.lost)))


if __name__ == "__main__":
    main()
