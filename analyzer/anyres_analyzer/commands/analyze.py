"""`anyres analyze`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from anyres_analyzer.analysis import Analysis
    from anyres_analyzer.cost.reconcile import Convention
    from anyres_analyzer.report.facts import Report, Size


def analyze(
    model: Annotated[Path, typer.Argument(metavar="MODEL.onnx", help="An ONNX file.")],
    size: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WIDTHxHEIGHT",
            help="A size to count the cost at; repeat for more.",
            show_default="two that the model takes",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, every number exact.")] = False,
    verify: Annotated[
        bool,
        typer.Option("--verify", help="Try it in ONNX Runtime: the witness sizes, and tiles."),
    ] = False,
    mixing: Annotated[
        bool, typer.Option("--mixing", help="What each 1x1 convolution does to the channels.")
    ] = False,
    as_tool: Annotated[
        str | None,
        typer.Option(
            "--as",
            metavar="fvcore|ptflops|torchinfo|thop|onnx-tool",
            help="What that tool would count, and why it differs, item by item.",
        ),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="PATH", help="Write it as one page with drawings, too."),
    ] = None,
    image: Annotated[
        Path | None,
        typer.Option("--image", metavar="PHOTO", help="What the page draws the field on."),
    ] = None,
) -> None:
    """Say what a graph alone tells: which sizes it takes and why, what it sees, what it costs.

    Sizes are written as image people do, width first: 451x300 is 451 wide and 300 high.

    Example: anyres analyze out/models/mobilenet_v2_fcn.onnx --size 451x300 --size 5400x2700
    """
    if image is not None and html is None:
        raise typer.BadParameter("--image is for the page: give --html PATH too")
    if as_tool is not None and html is not None:
        raise typer.BadParameter("--as has no page: give --html without it")
    sizes = [_size(text) for text in size or ()]
    convention = _convention(as_tool) if as_tool is not None else None
    with _told_in_one_line():
        analysis = _analysed(model)
        if convention is not None:
            _reconcile(model, analysis, convention, sizes, as_json=as_json)
            return
        facts = _facts(model, analysis, sizes, verify=verify, mixing=mixing)
        if html is not None:
            _write(html, facts, analysis, image)
    _print(facts, as_json=as_json)


@contextmanager
def _told_in_one_line() -> Iterator[None]:
    from anyres_analyzer.errors import AnalysisError

    try:
        yield
    except AnalysisError as error:
        raise typer.BadParameter(str(error)) from error


def _analysed(model: Path) -> Analysis:
    from anyres_analyzer.analysis import analyze as analysed

    return analysed(model)


def _reconcile(
    model: Path,
    analysis: Analysis,
    convention: Convention,
    sizes: list[Size],
    *,
    as_json: bool,
) -> None:
    from rich.console import Console

    from anyres_analyzer.report import item_by_item, reconciled

    counted = reconciled.reconciled(model.name, analysis, convention, sizes)
    if as_json:
        typer.echo(reconciled.encoded(counted))
    else:
        item_by_item.show(counted, Console(highlight=False))


def _facts(
    model: Path, analysis: Analysis, sizes: list[Size], *, verify: bool, mixing: bool
) -> Report:
    from anyres_analyzer.report.compose import report
    from anyres_analyzer.verify.verification import verified
    from anyres_analyzer.weights.mixing import mixing as measured

    facts = report(model.name, analysis, sizes)
    facts = verified(facts, model, analysis) if verify else facts
    return replace(facts, mixing=measured(analysis)) if mixing else facts


def _print(facts: Report, *, as_json: bool) -> None:
    from rich.console import Console

    from anyres_analyzer.report.encoding import encoded
    from anyres_analyzer.report.terminal import show

    if as_json:
        typer.echo(encoded(facts))
    else:
        show(facts, Console(highlight=False))


def _write(path: Path, facts: Report, analysis: Analysis, image: Path | None) -> None:
    from anyres_analyzer.report.page.page import page
    from anyres_analyzer.report.page.photo import UnusablePhoto, photo

    try:
        picture = photo(image, analysis.sizes) if image else None
        path.write_text(page(facts, analysis, picture), "utf-8")
    except UnusablePhoto as error:
        raise typer.BadParameter(str(error)) from error
    except OSError as error:
        raise typer.BadParameter(f"{path}: {error.strerror}") from error


def _convention(tool: str) -> Convention:
    from anyres_analyzer.cost.conventions import CONVENTIONS

    if tool not in CONVENTIONS:
        raise typer.BadParameter(f"--as is one of {', '.join(CONVENTIONS)}; got {tool!r}")
    return CONVENTIONS[tool]


def _size(text: str) -> tuple[int, int]:
    width, separator, height = text.lower().partition("x")
    if not (separator and width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise typer.BadParameter(f"--size is WIDTHxHEIGHT in pixels, like 451x300; got {text!r}")
    return int(width), int(height)
