"""`anyres selftest`."""

from __future__ import annotations

from typing import Annotated

import typer


def selftest(
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, every number exact.")] = False,
) -> None:
    """Find the published figures of well-known networks again: does this analyzer count right?

    VGG16, AlexNet, ResNet-50, MobileNetV2, FCN and U-Net are built here, layer by layer and without
    weights, and analysed as any file is. The exit code is 0 where every figure is found, else 1.

    Example: anyres selftest
    """
    from rich.console import Console

    from anyres_analyzer.published.figure import check, encoded
    from anyres_analyzer.published.figures import FIGURES
    from anyres_analyzer.published.terminal import show

    verdict = check(FIGURES)
    if as_json:
        typer.echo(encoded(verdict))
    else:
        show(verdict, Console(highlight=False))
    raise typer.Exit(0 if verdict.agrees else 1)
