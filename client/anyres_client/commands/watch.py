"""`anyres watch`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from anyres_client.commands.connecting import Connecting, asks_a_server, model_names


@asks_a_server
def watch(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where images come.")],
    out: Annotated[Path, typer.Option(help="Folder for the results.")],
    model: Annotated[
        str | None,
        typer.Option(help="The model; that of --local, if left out.", autocompletion=model_names),
    ] = None,
    overlay: Annotated[
        bool, typer.Option("--overlay", help="Also draw each prediction on its image.")
    ] = False,
    patience: Annotated[
        float, typer.Option(min=0, help="Seconds to wait for a server that went away.")
    ] = 300.0,
    timeout: Annotated[float, typer.Option(min=0.001, help="Seconds for each image.")] = 600.0,
    *,
    connecting: Connecting,
) -> None:
    """Predict every image that comes into a folder, or changes there, until Ctrl-C.

    What is there already comes first. Results are those of `anyres batch`, and so is what happens
    when it is ended and begun again: it goes on with what is left.

    Example: anyres watch scans --out results --model climate_unet --overlay
    """
    import asyncio
    import sys

    from anyres_client.jobs.job import Job
    from anyres_client.jobs.watching import watch as looked_after

    name = model or (connecting.local.stem if connecting.local else None)
    if name is None:
        raise typer.BadParameter("Missing option '--model'.")
    job = Job(str(folder), out, name, overlay=overlay, patience_s=patience)

    async def told() -> None:
        connected = connecting.connection()
        async for summary in looked_after(job, connected, timeout):
            failed = f", {summary.failed} failed" if summary.failed else ""
            sys.stdout.write(f"{summary.done} predicted{failed}; waiting for images in {folder}\n")
            sys.stdout.flush()

    asyncio.run(told())
