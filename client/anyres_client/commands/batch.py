"""`anyres batch`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def batch(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of images, searched deep.")],
    out: Annotated[Path, typer.Option(help="Folder for the results.")],
    model: Annotated[str, typer.Option(help="The model.")],
    server: Annotated[
        str, typer.Option(envvar="ANYRES_SERVER", help="The server's address.")
    ] = "localhost:8001",
    in_flight: Annotated[int, typer.Option(min=1, help="How many images are under way.")] = 4,
    overlay: Annotated[
        bool, typer.Option("--overlay", help="Also draw each prediction on its image.")
    ] = False,
    timeout: Annotated[float, typer.Option(min=0.001, help="Seconds for each image.")] = 600.0,
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
    summary = asyncio.run(run_with_progress(job, server, timeout))
    if summary.failed:
        raise typer.Exit(1)
