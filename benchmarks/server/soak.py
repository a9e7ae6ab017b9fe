"""Many requests of mixed sizes: does the server hold more and more?

    python -m benchmarks.server.soak [MODEL.onnx ...] [--requests 20000] [--sizes 64-512]

Each request is of another size, log-uniform, of one of the models, a file or its pixels. Memory is
read when nothing runs: after the first part (a twentieth), and at the end. What to look at: every
request is answered, and the memory at the end is within 5 % of that after the first part.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import grpc.aio
from benchmarks.server.asking import OPTIONS, Answer, as_answered, predicting, request
from benchmarks.server.process import peak, resident

from anyres_analyzer import analyze
from anyres_proto.card import SizeContract
from anyres_server.bench.served import Served, serving
from anyres_server.bench.sizes import draw

MIB = 2**20
PARTS = 20
KEPT = 300  # different requests that are made before: a client that makes each anew is too slow
QUIET_S = 0.05  # for what a server does after an answer


@dataclass(frozen=True)
class Soaked:
    """Memory that a server held while nothing ran, after each part; and how requests ended."""

    resident: tuple[int, ...]
    peak: int
    seconds: float
    answers: tuple[Answer, ...]

    @property
    def growth(self) -> float:
        """From the end of the first part to the end of the last: 0.05 is 5 % more."""
        return self.resident[-1] / self.resident[0] - 1


def requests(models: Sequence[Path], sizes: str, count: int, seed: int = 0) -> list[bytes]:
    """As many requests as there are, or as are kept; each of a size of its own."""
    random, kept = Random(seed), min(count, KEPT)
    drawn = {model.stem: iter(draw(sizes, _taken(model), kept, seed)) for model in models}
    names = [random.choice(list(drawn)) for _ in range(kept)]
    return [request(name, *next(drawn[name]), file=random.random() < 0.5) for name in names]


def _taken(model: Path) -> SizeContract:
    return SizeContract.model_validate(analyze(model).sizes, from_attributes=True)


async def soak(served: Served, made: Sequence[bytes], count: int, in_flight: int) -> Soaked:
    """Ask so many requests, in parts, and read the memory after each."""
    held, answers, began = [], [], time.monotonic()
    order = _endless(made)
    async with grpc.aio.insecure_channel(served.address, OPTIONS) as channel:
        call = predicting(channel)
        for _ in range(PARTS):
            part = [next(order) for _ in range(count // PARTS)]
            answers += await as_answered(call, iter(part), in_flight)
            await asyncio.sleep(QUIET_S)
            held.append(resident(served.process.pid))
    seconds = time.monotonic() - began
    return Soaked(tuple(held), peak(served.process.pid), seconds, tuple(answers))


def _endless(made: Sequence[bytes]) -> Iterator[bytes]:
    random = Random(1)
    while True:
        yield from random.sample(made, len(made))


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    usual = [Path(f"out/models/{name}.onnx") for name in ("climate_unet", "mobilenet_v2_fcn")]
    parser.add_argument("models", type=Path, nargs="*", default=usual)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--sizes", default="64-512")
    parser.add_argument("--clients", type=int, default=4)
    given = parser.parse_args()
    made = requests(given.models, given.sizes, given.requests)
    with TemporaryDirectory() as folder:
        for model in given.models:
            shutil.copy(model, folder)
        with serving(Path(folder)) as served:
            found = asyncio.run(soak(served, made, given.requests, given.clients))
    codes = Counter(answer.code.name for answer in found.answers)
    print("codes      ", ", ".join(f"{code} {count}" for code, count in codes.items()))
    print(f"requests    {len(found.answers) / found.seconds:.1f} a second")
    print("resident   ", " ".join(f"{each / MIB:.0f}" for each in found.resident), "MiB")
    print(f"peak        {found.peak / MIB:.0f} MiB")
    print(f"growth      {100 * found.growth:+.1f} % from the first part to the last")


if __name__ == "__main__":
    main()
