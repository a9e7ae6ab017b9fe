"""`anyres video`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from anyres_client.commands.connecting import Connecting, asks_a_server, model_names


@asks_a_server
def video(
    source: Annotated[Path, typer.Argument(metavar="IN", help="The video.")],
    target: Annotated[
        Path, typer.Argument(metavar="OUT", help="The file to write: .mp4, .mkv, .mov ...")
    ],
    model: Annotated[
        str | None,
        typer.Option(
            help="The model; needed where the server has several.", autocompletion=model_names
        ),
    ] = None,
    alpha: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="How much of the prediction covers the frame."),
    ] = None,
    in_flight: Annotated[int, typer.Option(min=1, help="How many frames are under way.")] = 4,
    timeout: Annotated[float, typer.Option(min=0.001, help="Seconds for each frame.")] = 60.0,
    *,
    connecting: Connecting,
) -> None:
    """Draw what a model sees on every frame of a video.

    Size, times and number of the frames stay, and so does the sound. A frame that the server
    refuses ends it, and nothing is written.

    Example: anyres video street.mp4 seen.mp4 --model climate_unet
    """
    from rich.console import Console
    from rich.progress import Progress

    from anyres_client.client import Client
    from anyres_client.video import Film, drawn, length

    film = Film(source, target, model, alpha, in_flight)
    connected = connecting.connection()
    console = Console(stderr=True)
    with (
        Progress(console=console, transient=True, disable=not console.is_terminal) as progress,
        Client(connected, timeout=timeout) as client,
    ):
        bar = progress.add_task(source.name, total=length(source))
        count = drawn(film, client, lambda pixels: progress.advance(bar))
    typer.echo(f"{count} frames; {target}")
