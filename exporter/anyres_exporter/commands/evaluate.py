"""`anyres evaluate`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from anyres_exporter.evaluate.evaluation import Request
    from anyres_exporter.evaluate.report import Report


def evaluate(
    model: Annotated[Path, typer.Argument(metavar="MODEL.onnx", help="An ONNX file.")],
    images: Annotated[
        Path, typer.Option(metavar="DIR", help="Pictures, in this folder and below.")
    ],
    labels: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR|CSV",
            help="A map for each picture, of its name; or a table of picture and answer.",
            show_default="the folders that pictures lie in are their classes",
        ),
    ] = None,
    tile: Annotated[
        str,
        typer.Option(
            metavar="auto|never|WxH",
            help="Cut pictures into exact tiles: where memory asks for it, never, or of this size.",
        ),
    ] = "auto",
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write evaluation.json and confusion.png there, too."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, every number exact.")] = False,
    ignore: Annotated[
        list[int] | None,
        typer.Option(
            metavar="N",
            help="A number in maps that means nothing; repeat for more.",
            show_default="255 if that is no class, none for numbers",
        ),
    ] = None,
    scale: Annotated[
        str, typer.Option(metavar="A", help="What numbers in labels are multiplied by, as 1/256.")
    ] = "1",
    limit: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="At most so many pictures.")
    ] = None,
    skip_unlabelled: Annotated[
        bool, typer.Option("--skip-unlabelled", help="Leave out pictures that have no label.")
    ] = False,
    task: Annotated[
        Literal["segmentation", "classification", "regression"] | None,
        typer.Option(help="What to measure.", show_default="by the model's card"),
    ] = None,
    memory_mib: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="What one picture may take, for --tile auto.",
            show_default="70 % of what is available",
        ),
    ] = None,
) -> None:
    """Measure how right a model is on labelled pictures.

    Of classes by pixel: pixel accuracy, mean accuracy, mean IU and frequency-weighted IU as Long et
    al. (2015) define them, by class, and what was taken for what. Of classes by picture: top-1 and
    top-5 accuracy. Of numbers: mean absolute error, root mean squared error and R^2.

    No picture is ever resized: outputs are interpolated to the labels, as in that paper.

    Example: anyres evaluate out/models/climate_unet.onnx --images photos --labels zones --out out
    """
    from anyres_analyzer.errors import AnalysisError
    from anyres_exporter.errors import ExportError
    from anyres_exporter.evaluate.evaluation import Request
    from anyres_exporter.evaluate.route import Tiling

    try:
        _made(out)
        request = Request(
            images=images,
            labels=labels,
            task=task,
            tiling=Tiling.parse(tile),
            ignored=None if ignore is None else frozenset(ignore),
            scale=_number(scale),
            limit=limit,
            skip_unlabelled=skip_unlabelled,
            budget_bytes=memory_mib and memory_mib << 20,
        )
        report = _watched(model, request)
        written = _written(report, out)
    except (AnalysisError, ExportError) as error:
        raise typer.BadParameter(str(error)) from error
    _print(report, written, as_json=as_json)


def _watched(model: Path, request: Request) -> Report:
    """Evaluate with a bar on stderr, where that is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    from anyres_exporter.evaluate.evaluation import evaluate as evaluated

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Remaining())
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as progress:
        bar = progress.add_task(f"evaluating {model.stem}", total=None)
        return evaluated(
            model, request, lambda done, total: progress.update(bar, completed=done, total=total)
        )


def _print(report: Report, written: tuple[Path, ...], *, as_json: bool) -> None:
    from rich.console import Console

    from anyres_exporter.evaluate.report import as_json as plain
    from anyres_exporter.evaluate.show import show

    if as_json:
        typer.echo(json.dumps(plain(report)))
        return
    console = Console(highlight=False)
    show(report, console)
    for path in written:
        console.print(str(path), style="dim", soft_wrap=True)


def _made(folder: Path | None) -> None:
    """The folder to write to, before anything takes time."""
    try:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise typer.BadParameter(f"cannot write to {folder}: {error.strerror}") from error


def _written(report: Report, folder: Path | None) -> tuple[Path, ...]:
    if folder is None:
        return ()
    from anyres_exporter.evaluate.chart import chart
    from anyres_exporter.evaluate.report import Regression
    from anyres_exporter.evaluate.report import as_json as plain

    try:
        numbers = folder / "evaluation.json"
        numbers.write_text(json.dumps(plain(report), indent=1) + "\n", "utf-8")
        if isinstance(report.result, Regression):
            return (numbers,)
        picture = folder / "confusion.png"
        chart(report).save(picture, optimize=True)
    except OSError as error:
        raise typer.BadParameter(f"cannot write to {folder}: {error.strerror}") from error
    return numbers, picture


def _number(text: str) -> float:
    from fractions import Fraction

    try:
        return float(Fraction(text.strip()))
    except (ValueError, ZeroDivisionError, OverflowError) as error:
        raise typer.BadParameter(f"--scale is a number, as 0.001 or 1/256; got {text!r}") from error
