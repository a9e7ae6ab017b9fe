"""Predicted against measured peak memory of ONNX Runtime's CPU provider.

    python benchmarks/memory.py [--sides 256,512,1024,2048] [MODEL.onnx ...]

Without models, the published networks (with noise for weights) are measured. "off" and "on" are
the arena's; "glibc" is off again with glibc's own threshold, under which it keeps freed buffers of
up to 32 MiB. What to look at: predicted / measured with the arena off is within 15 % everywhere.
The largest case (a U-Net at 2048x2048) takes 4 GiB.
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
from anyres_analyzer.cost.runtime.memory import predict
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
AT_ONCE = {"MALLOC_MMAP_THRESHOLD_": "65536"}  # what is freed goes back at once
COLUMNS = ("off: predicted", "measured", "ratio", "on: predicted", "measured", "ratio", "glibc")


def measured(model: Path, size: tuple[int, int], arena: str, environment: dict[str, str]) -> int:
    """Peak bytes of one run, in a process of its own."""
    program = Path(__file__).with_name("resident.py")
    command = [sys.executable, str(program), str(model), *map(str, size), arena]
    answer = subprocess.check_output(command, env=os.environ | environment)
    return int(json.loads(answer)["peak"])


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
    """One size: what was foretold, what was taken, and the ratio, in MiB."""
    analysis = analyze(model)
    size = analysis.sizes.height.at_least(side), analysis.sizes.width.at_least(side)
    foretold = predict(analysis.graph, analysis.shapes.at(*size))
    cells = [f"{size[1]}x{size[0]}"]
    for arena, predicted in (("off", foretold.arena_off_bytes), ("on", foretold.arena_on_bytes)):
        found = measured(model, size, arena, AT_ONCE)
        cells += [f"{predicted / 2**20:,.1f}", f"{found / 2**20:,.1f}", f"{predicted / found:.3f}"]
    return [*cells, f"{measured(model, size, 'off', {}) / 2**20:,.1f}"]


def main(
    models_given: Annotated[list[Path] | None, typer.Argument(metavar="[MODEL.onnx ...]")] = None,
    sides: Annotated[str, typer.Option(help="Pixels along each axis.")] = "256,512,1024,2048",
) -> None:
    """Print the table, a network at a time."""
    console = Console()
    with TemporaryDirectory() as folder:
        for name, path in models(models_given or [], Path(folder)):
            table = Table("MiB", *COLUMNS, box=None, title=name, title_justify="left")
            for side in sides.split(","):
                table.add_row(*row(path, int(side)))
            console.print(table)


if __name__ == "__main__":
    typer.run(main)
