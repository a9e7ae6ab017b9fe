"""Predicted against measured peak memory of ONNX Runtime's CPU provider.

    python benchmarks/memory.py [--sides 256,512,1024,2048] [MODEL.onnx ...]

Without models, the published networks (with noise for weights) are measured. Arena off: the first
image of a size, and the next, for which memory patterns (on unless switched off) take one block:
"again" is that. Arena on: what it holds after both images, and how many times what the first takes
without. What to look at: predicted / found is within 15 % everywhere.

What is freed goes back at once here (MALLOC_MMAP_THRESHOLD_). By itself glibc keeps freed buffers
of up to 32 MiB, and those of the weights' file too, so small images seem to take nothing or twice.
The largest case (a U-Net at 2048x2048) takes 6 GiB, and 17 with the arena on, which is left out
where there is less memory.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import onnx
import typer
from rich.console import Console
from rich.table import Table

from anyres_analyzer import analyze
from anyres_analyzer.published.alexnet import caffe_alexnet
from anyres_analyzer.published.mobilenet_v2 import mobilenet_v2
from anyres_analyzer.published.net import Net
from anyres_analyzer.published.resnet50 import resnet50
from anyres_analyzer.published.unet import unet
from anyres_analyzer.published.vgg16 import vgg16

NETWORKS: dict[str, Callable[[], Net]] = {
    "U-Net": lambda: unet(same=True),
    "VGG16-FCN": lambda: vgg16(dense=True),
    "ResNet-50-FCN": lambda: resnet50(dense=True, folded=True),
    "MobileNetV2-FCN": lambda: mobilenet_v2(dense=True, folded=True),
    "AlexNet-FCN": lambda: caffe_alexnet(dense=True),
}
AT_ONCE = {"MALLOC_MMAP_THRESHOLD_": "65536"}
COLUMNS = (
    *("first", "found", "ratio"),
    *("again", "found", "ratio"),
    *("arena", "found", "ratio", "arena/off"),
)
MIB = 2**20
WIDTH = 100  # columns that the table needs


def measured(model: Path, size: tuple[int, int], arena: str) -> dict[str, int]:
    """Bytes by what is measured, in a process of its own."""
    program = Path(__file__).with_name("resident.py")
    command = [sys.executable, str(program), str(model), *map(str, size), arena]
    answer = subprocess.check_output(command, env=os.environ | AT_ONCE)
    found: dict[str, int] = json.loads(answer)
    return found


def models(given: list[Path], folder: Path) -> Iterator[tuple[str, Path]]:
    """Names and files, made one after the other."""
    if given:
        yield from ((path.stem, path) for path in given)
        return
    for name, build in NETWORKS.items():
        path = folder / "network.onnx"
        onnx.save(build().model(weights=True), path)
        yield name, path


def row(model: Path, side: int) -> list[str]:
    """One size: what was foretold, what was taken, and the ratio; MiB."""
    analysis = analyze(model)
    size = analysis.sizes.height.at_least(side), analysis.sizes.width.at_least(side)
    foretold = analysis.runtime_memory(*size)
    off = measured(model, size, "off")
    cells = [
        f"{size[1]}x{size[0]}",
        *compared(foretold.arena_off_bytes, off["first"]),
        *compared(foretold.repeated_bytes, off["again"]),
    ]
    if foretold.arena_on_bytes > available():
        return [*cells, f"{foretold.arena_on_bytes / MIB:.1f}"]
    on = measured(model, size, "on")["reserved"]
    return [*cells, *compared(foretold.arena_on_bytes, on), f"{on / off['first']:.2f}"]


def available() -> int:
    """Bytes of memory that nobody uses."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("MemAvailable")).split()[1]) * 1024


def compared(foretold: int, found: int) -> list[str]:
    """Both in MiB, and how often the one is the other."""
    return [f"{foretold / MIB:.1f}", f"{found / MIB:.1f}", f"{foretold / found:.2f}"]


def main(
    models_given: Annotated[list[Path] | None, typer.Argument(metavar="[MODEL.onnx ...]")] = None,
    sides: Annotated[str, typer.Option(help="Pixels along each axis.")] = "256,512,1024,2048",
) -> None:
    """Print the table, a network at a time."""
    console = Console(width=max(Console().width, WIDTH))
    with TemporaryDirectory() as folder:
        for name, path in models(models_given or [], Path(folder)):
            table = Table(
                "MiB", *COLUMNS, box=None, title=name, title_justify="left", pad_edge=False
            )
            for side in sides.split(","):
                table.add_row(*row(path, int(side)))
            console.print(table)


if __name__ == "__main__":
    typer.run(main)
