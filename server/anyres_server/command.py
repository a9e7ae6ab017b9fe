"""The `anyres serve` command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def serve(
    models: Annotated[
        Path, typer.Argument(help="A folder of <name>.onnx or <name>/<version>/model.onnx files.")
    ],
    host: Annotated[
        str | None, typer.Option(help="The address to listen on.", show_default="127.0.0.1")
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="The port; 0 takes a free one.", show_default="8001")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(help="Threads of one network.", show_default="all processors")
    ] = None,
    memory_budget: Annotated[
        int | None,
        typer.Option(help="Bytes for pictures and activations.", show_default="70 % of memory"),
    ] = None,
    whole_image_budget: Annotated[
        int | None,
        typer.Option(
            help="Bytes of activations above which tiles are used.", show_default="512 MiB"
        ),
    ] = None,
    grace_s: Annotated[
        float | None,
        typer.Option("--grace", help="Seconds to finish what runs at the end.", show_default="30"),
    ] = None,
    log_level: Annotated[
        str | None,
        typer.Option(help="debug, info, warning or error.", show_default="info"),
    ] = None,
) -> None:
    """Serve the models of a folder over gRPC until SIGTERM or Ctrl-C.

    Prints `listening on HOST:PORT` on stdout once the models are loaded. What is not given here is
    taken from ANYRES_PORT, ANYRES_MEMORY_BUDGET and so on in the environment.

    Example: anyres serve out/models --port 8001
    """
    from pydantic import ValidationError

    from anyres_server.errors import StartFailed
    from anyres_server.main import run
    from anyres_server.settings import Settings

    given = {
        "models": models,
        "host": host,
        "port": port,
        "threads": threads,
        "memory_budget": memory_budget,
        "whole_image_budget": whole_image_budget,
        "grace_s": grace_s,
        "log_level": log_level,
    }
    try:
        run(Settings.model_validate({k: v for k, v in given.items() if v is not None}))
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        raise typer.BadParameter(f"{name}: {first['msg']}") from error
    except StartFailed as error:
        raise typer.BadParameter(str(error)) from error
