"""`anyres batch`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from anyres_client.commands.connecting import Connecting, asks_a_server, model_names


class Engine(StrEnum):
    """What the images are answered by."""

    LOCAL = "local"
    RAY = "ray"


class Format(StrEnum):
    """How results are laid out."""

    FOLDER = "folder"
    TAR = "tar"
    PARQUET = "parquet"


@asks_a_server
def batch(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="A folder, a pattern like 'photos/**/*.jpg', a list (.txt, .csv, .parquet) or an "
            "archive (.zip, .tar, .tar.gz).",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the results.")],
    model: Annotated[
        str | None,
        typer.Option(help="The model; that of --local, if left out.", autocompletion=model_names),
    ] = None,
    overlay: Annotated[
        bool, typer.Option("--overlay", help="Also draw each prediction on its image.")
    ] = False,
    layout: Annotated[
        Format, typer.Option("--as", help="Folders that mirror the images', or shards.")
    ] = Format.FOLDER,
    shard_size: Annotated[int, typer.Option(min=1, help="Images in a shard.")] = 1000,
    labels: Annotated[
        Path | None,
        typer.Option(
            exists=True, file_okay=False, help="Folder of true class maps (PNG): adds mean IoU."
        ),
    ] = None,
    in_flight: Annotated[int, typer.Option(min=1, help="How many images are under way.")] = 4,
    mib_in_flight: Annotated[int, typer.Option(min=1, help="And how many MiB of files.")] = 256,
    attempts: Annotated[
        int, typer.Option(min=1, help="How often an image is tried that a busy server refuses.")
    ] = 5,
    patience: Annotated[
        float,
        typer.Option(
            min=0, help="Seconds to wait for a server that went away, or for a full Ray cluster."
        ),
    ] = 300.0,
    restart: Annotated[
        bool, typer.Option("--restart", help="Forget the results of another job in that folder.")
    ] = False,
    engine: Annotated[
        Engine,
        typer.Option(help="Ask from this process, or from many: Ray's, of one machine or more."),
    ] = Engine.LOCAL,
    ray_address: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="A cluster of Ray's that this machine is one of (or auto), instead of one begun "
            "for the job.",
        ),
    ] = None,
    timeout: Annotated[float, typer.Option(min=0.001, help="Seconds for each image.")] = 600.0,
    as_json: Annotated[bool, typer.Option("--json", help="The summary as JSON.")] = False,
    *,
    connecting: Connecting,
) -> None:
    """Predict every image of a folder, list or archive; run again, it does what is left.

    Writes a class map (PNG with the classes' colours) for each image, one line about it to
    results.jsonl, and one about each that failed to failures.jsonl. An image that cannot be
    predicted is reported and skipped; the exit code is 1 then. Killed at any moment and run again,
    the job loses nothing and repeats at most what was under way.

    Example: anyres batch photos --out results --model climate_unet
    """
    import asyncio

    from anyres_client.jobs.job import Job
    from anyres_client.jobs.progress import run_with_progress

    name = model or (connecting.local.stem if connecting.local else None)
    if name is None:
        raise typer.BadParameter("Missing option '--model'.")
    if ray_address is not None and engine is not Engine.RAY:
        raise typer.BadParameter("--ray-address goes with --engine ray.")
    job = Job(
        source,
        out,
        name,
        overlay=overlay,
        format=layout.value,
        shard_size=shard_size,
        labels=labels,
        in_flight=in_flight,
        bytes_in_flight=mib_in_flight * 2**20,
        attempts=attempts,
        patience_s=patience,
        restart=restart,
        engine=engine.value,
        ray_address=ray_address,
    )
    connected = connecting.connection()
    summary = asyncio.run(run_with_progress(job, connected, timeout, as_json=as_json))
    if summary.failed:
        raise typer.Exit(1)
