"""`anyres batch`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from anyres_client.commands.connecting import (
    ADDRESS,
    Authorities,
    Certificate,
    Key,
    Server,
    Token,
    connection,
)


def batch(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of images, searched deep.")],
    out: Annotated[Path, typer.Option(help="Folder for the results.")],
    model: Annotated[str, typer.Option(help="The model.")],
    in_flight: Annotated[int, typer.Option(min=1, help="How many images are under way.")] = 4,
    overlay: Annotated[
        bool, typer.Option("--overlay", help="Also draw each prediction on its image.")
    ] = False,
    timeout: Annotated[float, typer.Option(min=0.001, help="Seconds for each image.")] = 600.0,
    server: Server = ADDRESS,
    token: Token = None,
    authorities: Authorities = None,
    certificate: Certificate = None,
    key: Key = None,
) -> None:
    """Predict every image of a folder; run again, it does what is left.

    Writes a class map (PNG with the classes' colours) for each image and one line about it to
    results.jsonl. An image that cannot be predicted is reported and skipped; the exit code is 1
    then.

    Example: anyres batch photos --out results --model climate_unet
    """
    import asyncio

    from anyres_client.batch import Job
    from anyres_client.progress import run_with_progress

    job = Job(folder, out, model, overlay=overlay, in_flight=in_flight)
    connected = connection(server, token, authorities, certificate, key)
    summary = asyncio.run(run_with_progress(job, connected, timeout))
    if summary.failed:
        raise typer.Exit(1)
