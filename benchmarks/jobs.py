"""What it takes to go on with a job of a million images: seconds and memory.

    python -m benchmarks.jobs [--images 1000000]

The journal is made here, with lines as a batch over photos writes them (ten classes each), and its
shards are empty files of the right length. Then a process of its own opens it as a rerun does, and
asks of every image whether it is done. What to look at: memory by line, below 200 bytes.
"""

from __future__ import annotations

import json
import multiprocessing
import resource
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Annotated, Any

import typer

from anyres_client.jobs.journal import RESULTS, Journal
from anyres_client.jobs.shards import TAR, Shards

IN_SHARD, RESULT_BYTES = 1000, 8192
SAID: dict[str, Any] = {
    "model": "climate_unet",
    "version": "1",
    "image_size": [512, 768],
    "grid_size": [512, 768],
    "route": "whole",
    "pieces": 1,
    "padded": [0, 0],
    "timing": dict.fromkeys(("decode_s", "queue_s", "compute_s", "reduce_s"), 0.012345),
    "classes": [{"index": i, "name": f"class {i}", "share": 0.123456} for i in range(10)],
}


def _name(number: int) -> str:
    return f"folder{number // 1000:04d}/photo_{number:08d}.jpg"


def _stamp(number: int) -> dict[str, int]:
    return {"bytes": 123_456 + number, "changed_ns": 1_700_000_000_000_000_000 + number}


def write(out: Path, images: int) -> None:
    """A job's folder in which all is done."""
    with (out / RESULTS).open("w") as file:
        for number in range(images):
            shard, place = divmod(number, IN_SHARD)
            line = {
                **SAID,
                "file": _name(number),
                "stamp": _stamp(number),
                "shard": f"{shard:06d}.tar",
                "offset": place * RESULT_BYTES,
                "end": (place + 1) * RESULT_BYTES,
            }
            file.write(json.dumps(line, sort_keys=True) + "\n")
    for shard in range(-(-images // IN_SHARD)):
        with (out / f"{shard:06d}.tar").open("wb") as tar:
            tar.truncate(IN_SHARD * RESULT_BYTES)


def go_on(out: Path, images: int, answer: Connection) -> None:
    """Open the journal and look every image up."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    journal = Journal(out / RESULTS)
    began = perf_counter()
    journal.open(Shards(TAR, out, journal, IN_SHARD).holds)
    opened = perf_counter()
    done = sum(journal.has(_name(number), _stamp(number)) for number in range(images))
    looked = perf_counter()
    assert done == len(journal) == images
    kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    answer.send((opened - began, looked - opened, kib * 1024))


def main(images: Annotated[int, typer.Option(min=1)] = 1_000_000) -> None:
    """Print what it took."""
    context = multiprocessing.get_context("spawn")
    with TemporaryDirectory() as folder:
        out = Path(folder)
        write(out, images)
        ours, theirs = context.Pipe()
        process = context.Process(target=go_on, args=(out, images, theirs))
        process.start()
        opened, looked, held = ours.recv()
        process.join()
        size = (out / RESULTS).stat().st_size
    print(f"{images} lines, {size / images:.0f} bytes each")
    print(f"open          {opened:8.2f} s")
    print(f"look all up   {looked:8.2f} s")
    print(f"memory        {held / 2**20:8.0f} MiB   {held / images:.0f} bytes a line")


if __name__ == "__main__":
    typer.run(main)
