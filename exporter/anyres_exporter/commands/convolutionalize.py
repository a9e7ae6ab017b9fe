"""`anyres convolutionalize`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer


def convolutionalize(
    model: Annotated[Path, typer.Argument(metavar="CLASSIFIER.onnx", help="An ONNX classifier.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE.onnx", help="Where to write.")],
    size: Annotated[
        str | None,
        typer.Option(
            metavar="WxH", help="What it was trained at.", show_default="the size in the file"
        ),
    ] = None,
    pool: Annotated[
        Literal["keep", "drop"],
        typer.Option(
            help="An average over the map becomes a window of the trained size that slides by one "
            "cell, or is dropped: an answer for each cell by itself."
        ),
    ] = "keep",
    upsample: Annotated[
        Literal["bilinear", "none"],
        typer.Option(help="Bring the grid of answers to the image's size, inside the graph."),
    ] = "none",
    images: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Photographs to measure dense answers against the classifier's on.",
            show_default="seeded noise",
        ),
    ] = None,
) -> None:
    """Turn a classifier's graph into one that answers at every position of an image of any size.

    Fully connected layers become convolutions, pools windows that slide; it does not matter who
    exported the file. At the size it was trained at the result is proven to be the classifier. On
    larger images its answers are compared with the classifier's on every patch, and where they
    differ the reason is told. What cannot be converted is refused, and the node is named.

    Pictures are prepared as the classifier's card says; `anyres card stamp` writes one.

    Example: anyres convolutionalize classifier.onnx -o fcn.onnx --images photos/
    """
    from rich.console import Console

    from anyres_analyzer.errors import AnalysisError
    from anyres_exporter.commands import values
    from anyres_exporter.commands.conversion import Wanted, convolutionalized
    from anyres_exporter.errors import ExportError

    native = values.height_width("--size", size) if size else None
    try:
        convolutionalized(model, out, Wanted(native, pool, upsample, images), Console())
    except (AnalysisError, ExportError) as error:
        raise typer.BadParameter(str(error)) from error
