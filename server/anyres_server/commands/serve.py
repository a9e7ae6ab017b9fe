"""The `anyres serve` command."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

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
    from anyres_server.settings.settings import Settings

    given = {
        "models": models,
        "host": host,
        "port": port,
        "grace_s": grace_s,
        "compute": {"threads": threads},
        "memory": {"budget": memory_budget, "whole_image": whole_image_budget},
        "observe": {"log_level": log_level},
    }
    try:
        run(Settings.model_validate(_said(given)))
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        raise typer.BadParameter(f"{name}: {first['msg']}") from error
    except StartFailed as error:
        raise typer.BadParameter(str(error)) from error


def _said(given: Mapping[str, Any]) -> dict[str, Any]:
    """Without what was not given, in tables too."""
    inner = {k: _said(v) if isinstance(v, Mapping) else v for k, v in given.items()}
    return {k: v for k, v in inner.items() if v is not None and v != {}}
