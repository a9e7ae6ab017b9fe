"""`anyres compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def compare(
    first: Annotated[Path, typer.Argument(metavar="A.onnx", help="An ONNX file.")],
    second: Annotated[Path, typer.Argument(metavar="B.onnx", help="Another.")],
    sizes: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WIDTHxHEIGHT",
            help="A size to compare at; repeat for more.",
            show_default="what each usually takes",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, every number exact.")] = False,
) -> None:
    """Put two models side by side: sizes, receptive field, parameters, cost, output grid.

    Where one of them gives one answer for images of one size and the other a map, it says how many
    crops the first needs for the grid of the second, and how many times as much that costs. The
    crops are of the first of the sizes asked for that it takes, or else the smallest.

    Example: anyres compare fc.onnx fcn.onnx --sizes 227x227 --sizes 500x500
    """
    from rich.console import Console

    from anyres_analyzer.analysis import Analysis, analyze
    from anyres_analyzer.errors import AnalysisError
    from anyres_analyzer.report import comparison
    from anyres_analyzer.report.side_by_side import show

    def analyzed(path: Path) -> tuple[str, Analysis]:
        try:
            return path.name, analyze(path)
        except AnalysisError as error:
            raise typer.BadParameter(str(error)) from error

    asked = [_size(text) for text in sizes or ()]
    compared = comparison.compare(analyzed(first), analyzed(second), asked)
    if as_json:
        typer.echo(comparison.encoded(compared))
    else:
        show(compared, Console(highlight=False))


def _size(text: str) -> tuple[int, int]:
    width, separator, height = text.lower().partition("x")
    if not (separator and width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise typer.BadParameter(f"--sizes is WIDTHxHEIGHT in pixels, like 451x300; got {text!r}")
    return int(width), int(height)
