"""How much faster int8 is than fp32 in ONNX Runtime; on request what fp16 does on a CPU.

    python benchmarks/precision.py [--kinds int8,fp16] [--pictures DIR] [--side N] [MODEL.onnx ...]

Without models, U-Nets of depth 4 that start 32 and 64 channels wide, with noise for weights: speed
does not depend on them. Each variant runs in turns with its fp32 model in one process; the numbers
are medians, the ratio is fp32's seconds by the variant's. Agreement says something only of trained
models on pictures of theirs. What to look at: int8 is at least 1.8 times as fast on a
CPU with VNNI.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import numpy as np
import onnx
import torch
import typer
from PIL import Image
from rich.console import Console
from rich.table import Table

from anyres_exporter.precision.request import Asked, Kind
from anyres_exporter.precision.speed import noise, timed
from anyres_exporter.precision.variant import Made, faster
from anyres_exporter.runtime import Runtime
from anyres_exporter.trace.trace import trace
from anyres_exporter.zoo.unet import UNet

WIDTHS = (32, 64)
KINDS: dict[str, Kind] = {"int8": "int8", "fp16": "fp16", "weights-fp16": "weights-fp16"}
RUNS = 7
WIDTH = 100  # columns that the table needs
VNNI = ("avx512_vnni", "avx_vnni")


def unets(folder: Path) -> Iterator[Path]:
    """U-Nets with noise for weights."""
    torch.manual_seed(0)
    for width in WIDTHS:
        model = UNet(width=width, depth=4).eval()
        example = torch.zeros(2, 3, 64, 64)
        log = folder / "log.txt"
        graph = trace(model, example, ("logits",), dynamic_size=True, opset=20, log=log)
        path = folder / f"unet-{width}-4.onnx"
        onnx.save(graph, path)
        yield path


def pictures(folder: Path, side: int) -> Path:
    """Two of noise: a network of noise needs no others."""
    folder.mkdir()
    for index in range(2):
        pixels = np.random.default_rng(index).integers(0, 256, (side, side, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")
    return folder


def row(model: Path, made: Made, side: int, threads: int) -> tuple[str, ...]:
    """A variant beside its model."""
    image = noise(made.card, side)
    both = (Runtime(path, threads=threads) for path in (model, made.path))
    fp32_s, variant_s = timed(*both, image=image, runs=RUNS)
    return (
        *(model.stem, made.precision.kind, str(threads)),
        *(f"{1e3 * seconds:.1f}" for seconds in (fp32_s, variant_s)),
        f"{fp32_s / variant_s:.2f}",
        *(f"{path.stat().st_size / 1e6:.2f}" for path in (model, made.path)),
        f"{made.precision.agreement:.2%}",
    )


def main(
    models: Annotated[list[Path] | None, typer.Argument(metavar="MODEL.onnx")] = None,
    folder: Annotated[Path | None, typer.Option("--pictures", help="To calibrate on.")] = None,
    side: Annotated[int, typer.Option(help="Pixels a side.")] = 512,
    kinds: Annotated[str, typer.Option(help=", ".join(KINDS))] = "int8",
) -> None:
    """Print the table."""
    columns = ("", "", "threads", "fp32 ms", "ms", "ratio", "fp32 MB", "MB", "agreement")
    table = Table(*columns, box=None)
    with TemporaryDirectory() as temporary:
        work = Path(temporary)
        shown = folder or pictures(work / "pictures", side)
        for model in models or unets(work):
            for kind in kinds.split(","):
                made = faster(
                    model, Asked(KINDS[kind], shown, min_agreement=0, side=side), work / "out"
                )
                for threads in sorted({1, os.cpu_count() or 1}):
                    table.add_row(*row(model, made, side, threads))
    Console(width=max(WIDTH, Console().width)).print(table)
    known = Path("/proc/cpuinfo")
    flags = known.read_text() if known.is_file() else ""
    print("VNNI:", ", ".join(flag for flag in VNNI if flag in flags) or "not seen")


if __name__ == "__main__":
    typer.run(main)
