"""A picture far larger than memory through a real server: its peak, its speed, bytes up and down.

    python -m benchmarks.huge [--sides 30000x30000] [--kinds raw,png,jpeg,tiff] [--model M.onnx]

The picture is made a strip at a time (raw), or written by libvips in bounded memory to a temporary
folder first; a server process of its own reads it. Without a model a small network is made: two
3x3 convolutions, 64 multiply-adds a pixel, so that what is measured is the way and not the network.
What one strip more or less costs shows in `--sides 30000x7500,30000x30000`: the peak should not
grow with the height, and no more should that of the client, which writes the class map to a file
(and makes the strips of `raw`): the last column is how much more it held than before.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pyvips
from benchmarks.server.process import forget_peak, peak, resident
from numpy.typing import NDArray

from anyres_client.client import Client
from anyres_client.tiles import Huge, Strips

STRIP = 256  # rows
NETWORK = """<ir_version: 8, opset_import: ["" : 17]>
small (float[N,3,H,W] x) => (float[N,2,P,Q] y) <float[2,3,3,3] w = {%s}, float[2,2,3,3] v = {%s}> {
  a = Conv <kernel_shape=[3,3], pads=[1,1,1,1]> (x, w)
  r = Relu (a)
  y = Conv <kernel_shape=[3,3], pads=[1,1,1,1]> (r, v)
}"""
SAVE = {
    "png": lambda image, path: image.pngsave(path, compression=1),
    "jpeg": lambda image, path: image.jpegsave(path, Q=85),
    "tiff": lambda image, path: image.tiffsave(
        path, compression="deflate", tile=True, tile_width=256, tile_height=256, bigtiff=True
    ),
}


def main() -> None:
    """Print a line for each size and kind."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--sides", default="30000x30000", help="WIDTHxHEIGHT, several by commas")
    asked.add_argument("--kinds", default="raw,png,tiff", help=f"raw, {', '.join(SAVE)}")
    asked.add_argument("--model", type=Path, help="an ONNX file; a small one is made without")
    asked.add_argument("--budget", default="640 MiB", help="the server's memory.budget")
    given = asked.parse_args()
    print(
        "kind  width x height   MiB up  MiB down  seconds   MP/s  MiB at rest  MiB at its peak"
        "  the client's"
    )
    for sides in given.sides.split(","):
        width, height = map(int, sides.split("x"))
        for kind in given.kinds.split(","):
            with (
                tempfile.TemporaryDirectory() as folder,
                _picture(kind, width, height, Path(folder)) as (picture, up),
                _server(given, Path(folder)) as (pid, port),
            ):
                _measure(kind, picture, up, pid, port, Path(folder, "classes.npy"))


def _measure(kind: str, picture: Huge, up: int, pid: int, port: int, save: Path) -> None:
    ours = os.getpid()
    with Client(f"127.0.0.1:{port}") as client:
        client.wait_ready()
        rest, at_first = resident(pid), resident(ours)
        forget_peak(pid)
        forget_peak(ours)
        began = perf_counter()
        size = client.predict_huge(picture, save, model="network").image_size
        seconds = perf_counter() - began
    down, grown = np.load(save, mmap_mode="r").nbytes, peak(ours) - at_first
    rate = size[0] * size[1] / seconds / 1e6
    print(
        f"{kind:5} {size[1]:6} x {size[0]:6} {up / 2**20:8.0f} {down / 2**20:9.0f} "
        f"{seconds:8.1f} {rate:6.1f} {rest / 2**20:12.0f} {peak(pid) / 2**20:16.0f} "
        f"{grown / 2**20:+13.0f}",
        flush=True,
    )


@contextmanager
def _picture(kind: str, width: int, height: int, folder: Path) -> Iterator[tuple[Huge, int]]:
    if kind == "raw":
        yield Strips((height, width), 3, _strips(width, height)), 3 * width * height
        return
    pyvips.cache_set_max(0)
    path = folder / f"picture.{kind}"
    SAVE[kind](_vips(width, height), str(path))
    yield path, path.stat().st_size


def _strips(width: int, height: int) -> Iterator[NDArray[np.uint8]]:
    """A colour wash with noise in it, not all of it alike."""
    noise = np.random.default_rng(0).integers(0, 16, (STRIP, width, 3), np.uint8)
    columns = np.arange(width, dtype=np.uint32)[None, :, None] // 97
    for top in range(0, height, STRIP):
        rows = np.arange(top, min(top + STRIP, height), dtype=np.uint32)[:, None, None] // 61
        yield ((rows + columns).astype(np.uint8) ^ noise[: len(rows)]).astype(np.uint8)


def _vips(width: int, height: int) -> Any:
    """Much the same, made as it is written."""
    place = pyvips.Image.xyz(width, height)
    wash = (place[0] / 97 + place[1] / 61).cast("uint") & 255
    noise = pyvips.Image.gaussnoise(1024, 1024, sigma=5, mean=8).replicate(
        -(-width // 1024), -(-height // 1024)
    )
    grey = (wash + noise.crop(0, 0, width, height)).cast("uchar")
    return grey.bandjoin([grey, (255 - grey).cast("uchar")]).copy(interpretation="srgb")


@contextmanager
def _server(given: argparse.Namespace, folder: Path) -> Iterator[tuple[int, int]]:
    models = folder / "models"
    models.mkdir()
    if given.model:
        shutil.copy(given.model, models / "network.onnx")
    else:
        onnx.save(_small(), models / "network.onnx")
    told = {
        "ANYRES_MEMORY_BUDGET": given.budget,
        "ANYRES_MEMORY_WHOLE_IMAGE": "128 MiB",
        "ANYRES_MEMORY_TILE": "64 MiB",
        "ANYRES_PORT": "0",
    }
    command = [sys.executable, "-m", "anyres_client.main", "serve", str(models)]
    process = subprocess.Popen(
        command, env=os.environ | told, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        yield process.pid, int(line.rpartition(":")[2])
    finally:
        process.terminate()
        process.wait(30)
        process.stdout.close()


def _small() -> onnx.ModelProto:
    random = np.random.default_rng(0)
    weights = [", ".join(f"{w:.4f}" for w in random.normal(0, 1, n)) for n in (54, 36)]
    return onnx.parser.parse_model(NETWORK % tuple(weights))


if __name__ == "__main__":
    main()
