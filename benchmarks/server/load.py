"""Ten times more than a server can do: what it still does, how it refuses, and what it holds.

    python -m benchmarks.server.load [MODEL.onnx] [--size 512x512] [--seconds 60] [--times 10]

First its capacity: answers a second while `--in-flight` requests wait. Then requests come ten times
as fast, answered or not. The clients have one processor of their own and the server has the others,
as if they came from another machine. What to look at: goodput at least 0.9 of the capacity, the
p99 of those that were let in below what a full queue takes, refusals within 50 ms, memory flat.
"""

from __future__ import annotations

import argparse
import asyncio
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import repeat, takewhile
from pathlib import Path
from time import monotonic

import grpc.aio
from benchmarks.server.asking import (
    OPTIONS,
    Answer,
    as_answered,
    percentile,
    predicting,
    processors_apart,
    regardless,
    request,
)
from benchmarks.server.process import resident

from anyres_server.bench.served import Served, folder_of, serving

MIB = 2**20
LOOK_EVERY_S = 0.5


@dataclass(frozen=True)
class Load:
    """What was seen of a server with too much to do."""

    capacity: float  # answers a second
    offered: float  # requests a second
    goodput: float  # answers a second
    codes: Mapping[str, int]
    admitted_s: tuple[float, float]  # p50, p99
    refused_s: tuple[float, float]
    bound_s: float  # what a full queue takes at the capacity
    resident: tuple[int, ...]  # every half second, while it lasted


async def overload(
    served: Served, message: bytes, *, queue: int, in_flight: int, seconds: float, times: float
) -> Load:
    """Measure the capacity for a sixth of the time, then ask so many times as fast."""
    async with grpc.aio.insecure_channel(served.address, OPTIONS) as channel:
        call = predicting(channel)
        capacity = await _capacity(call, message, in_flight, max(1.0, seconds / 6))
        held: list[int] = []
        watching = asyncio.create_task(_watch(served.process.pid, held))
        answers = await regardless(call, message, times * capacity, seconds)
        watching.cancel()
    return _load(capacity, answers, queue, held)


async def _capacity(call: object, message: bytes, in_flight: int, seconds: float) -> float:
    assert callable(call)
    await as_answered(call, iter([message] * in_flight), in_flight)
    end = monotonic() + seconds
    requests = takewhile(lambda _: monotonic() < end, repeat(message))
    answers = await as_answered(call, requests, in_flight)
    if not all(answer.good for answer in answers):
        raise SystemExit(f"asked kindly it refuses: {Counter(a.code.name for a in answers)}")
    return len(answers) / _span(answers)


async def _watch(pid: int, held: list[int]) -> None:
    while True:
        held.append(resident(pid))
        await asyncio.sleep(LOOK_EVERY_S)


def _load(capacity: float, answers: list[Answer], queue: int, held: list[int]) -> Load:
    good = [answer.seconds for answer in answers if answer.good]
    refused = [answer.seconds for answer in answers if not answer.good]
    sending = max(answer.sent for answer in answers) - min(answer.sent for answer in answers)
    return Load(
        capacity=capacity,
        offered=len(answers) / sending,
        goodput=len(good) / _span(answers),
        codes=Counter(answer.code.name for answer in answers),
        admitted_s=(percentile(good, 0.5), percentile(good, 0.99)),
        refused_s=(percentile(refused, 0.5), percentile(refused, 0.99)),
        bound_s=queue / capacity,
        resident=tuple(held),
    )


def _span(answers: list[Answer]) -> float:
    return max(answer.ended for answer in answers) - min(answer.sent for answer in answers)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", type=Path, nargs="?", default=Path("out/models/climate_unet.onnx"))
    parser.add_argument("--size", default="512x512", metavar="WIDTHxHEIGHT")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--times", type=float, default=10.0)
    parser.add_argument("--queue", type=int, default=32, help="requests that may be inside")
    parser.add_argument("--in-flight", type=int, default=8, help="while capacity is measured")
    given = parser.parse_args()
    width, height = map(int, given.size.split("x"))
    message = request(given.model.stem, height, width)
    with ExitStack() as stack:
        folder = stack.enter_context(folder_of(given.model))
        with processors_apart():
            settings = {"ANYRES_LIMITS_REQUESTS": str(given.queue)}
            served = stack.enter_context(serving(folder, settings))
        found = asyncio.run(
            overload(
                served,
                message,
                queue=given.queue,
                in_flight=given.in_flight,
                seconds=given.seconds,
                times=given.times,
            )
        )
        _show(found)
        print("the server is", "up" if served.process.poll() is None else "DOWN")


def _show(found: Load) -> None:
    third = max(1, len(found.resident) // 3)
    first, last = max(found.resident[:third]), max(found.resident[-third:])
    share = found.goodput / found.capacity
    p50, p99 = found.admitted_s
    refused50, refused99 = (1e3 * each for each in found.refused_s)
    print(f"capacity       {found.capacity:8.1f} answers/s")
    print(f"offered        {found.offered:8.1f} requests/s, {found.offered / found.capacity:.1f} x")
    print(f"goodput        {found.goodput:8.1f} answers/s, {share:.3f} of the capacity")
    print(
        f"admitted       p50 {p50:.2f} s, p99 {p99:.2f} s; a full queue takes {found.bound_s:.2f}"
    )
    print(f"refused        p50 {refused50:.1f} ms, p99 {refused99:.1f} ms")
    print(f"resident       at most {first / MIB:.0f} MiB in the first third, {last / MIB:.0f} last")
    print("codes         ", ", ".join(f"{code} {count}" for code, count in found.codes.items()))


if __name__ == "__main__":
    main()
