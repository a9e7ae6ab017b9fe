"""The `anyres bench` command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer


def bench(
    model: Annotated[Path, typer.Argument(metavar="MODEL.onnx", help="The model's file.")],
    sizes: Annotated[
        str, typer.Option(help="A range like 256-2048, or WIDTHxHEIGHT,WIDTHxHEIGHT,...")
    ] = "512x512",
    clients: Annotated[int, typer.Option(min=1, help="Processes that ask at once.")] = 4,
    given: Annotated[
        Literal["fp32", "uint8", "png"], typer.Option("--input", help="How images travel.")
    ] = "uint8",
    wanted: Annotated[
        Literal["logits", "class-map"], typer.Option("--output", help="What is asked for.")
    ] = "class-map",
    seconds: Annotated[
        float, typer.Option(min=0.1, help="To measure each side for, about.")
    ] = 10.0,
    server: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS", help="A server that runs on this machine.", show_default="its own"
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, every number exact.")] = False,
) -> None:
    """Measure a server beside bare ONNX Runtime, on this machine and in the same minutes.

    The loop beside it does the same job for the same client processes, without gRPC; it is run in
    every way that may be fastest (threads, arena, spinning), and the best is taken. What a server
    costs is the ratio.

    Example: anyres bench out/models/climate_unet.onnx --sizes 256-1024 --clients 4
    """
    import json

    from rich.console import Console

    from anyres_server.bench.bench import benchmark
    from anyres_server.bench.queue import OtherEnded
    from anyres_server.bench.show import show
    from anyres_server.bench.work import In, Out
    from anyres_server.errors import ServingError, StartFailed

    try:
        found = benchmark(
            model, sizes, In(given), Out(wanted), clients=clients, seconds=seconds, address=server
        )
    except (ServingError, StartFailed, OtherEnded) as error:
        raise typer.BadParameter(str(error)) from error
    if as_json:
        typer.echo(json.dumps(found.encoded(), indent=2))
    else:
        show(found, Console(highlight=False))
