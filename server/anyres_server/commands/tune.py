"""The `anyres tune` command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from anyres_server.tune.tune import Tuned


def tune(
    model: Annotated[Path, typer.Argument(metavar="MODEL.onnx", help="The model's file.")],
    sizes: Annotated[
        str, typer.Option(help="A range like 256-2048, or WIDTHxHEIGHT,WIDTHxHEIGHT,...")
    ] = "256-1024",
    images: Annotated[int, typer.Option(min=1, max=1000, help="Drawn from these sizes.")] = 8,
    seconds: Annotated[
        float, typer.Option(min=0.1, max=86400, help="To measure for, about.")
    ] = 60.0,
    provider: Annotated[
        list[str] | None,
        typer.Option(
            help="To try beside the CPU; again for more.", show_default="all that are installed"
        ),
    ] = None,
    agreement: Annotated[
        float,
        typer.Option(min=0, max=1, help="Of the classes with the CPU's in f32, at least."),
    ] = 0.99,
    out: Annotated[
        Path | None,
        typer.Option(
            help="The file to write; its other settings stay.", show_default="MODEL.toml, beside it"
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Write nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, every number exact.")] = False,
) -> None:
    """Find how a model runs fastest on this machine, and write its settings.

    Measures the model at the given sizes, as a server would run them, with every provider that is
    installed, in each of its precisions, with all threads and with one, in batches and alone. What
    is recommended is written to the file that `anyres serve` reads beside the model.

    Example: anyres tune out/models/climate_unet.onnx --sizes 256-2048
    """
    import json

    from rich.console import Console

    from anyres_server.errors import ServingError
    from anyres_server.tune.show import encoded, show
    from anyres_server.tune.written import settings, write

    try:
        tuned = _tuned(model, sizes, images, seconds, agreement, provider or [])
        path = out or model.with_suffix(".toml")
        if not dry_run:
            write(path, settings(tuned.recommendation))
    except ServingError as error:
        raise typer.BadParameter(str(error)) from error
    if as_json:
        typer.echo(json.dumps(encoded(tuned), indent=2))
        return
    show(tuned, Console(highlight=False))
    typer.echo("nothing is written" if dry_run else f"written to {path}")


def _tuned(
    model: Path, sizes: str, images: int, seconds: float, agreement: float, providers: list[str]
) -> Tuned:
    """The figures; meanwhile a line on stderr says what is measured."""
    from rich.console import Console

    from anyres_server.tune.tune import tune

    with Console(stderr=True).status("loading") as status:
        return tune(
            model,
            sizes,
            images=images,
            seconds=seconds,
            agreement=agreement,
            providers=providers,
            told=lambda candidate, lap: status.update(f"lap {lap + 1}: {candidate}"),
        )
