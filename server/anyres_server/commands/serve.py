"""The `anyres serve` command."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from anyres_server.settings.mistake import Key
    from anyres_server.settings.reading import Given, Read


def serve(
    models: Annotated[
        str | None,
        typer.Argument(
            metavar="[FOLDER]",
            help="The models: <name>.onnx or <name>/<version>/model.onnx files.",
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(envvar="ANYRES_CONFIG", help="A TOML file of settings.", metavar="FILE"),
    ] = None,
    host: Annotated[
        str | None, typer.Option(help="The address to listen on.", show_default="127.0.0.1")
    ] = None,
    port: Annotated[
        str | None, typer.Option(help="The port; 0 takes a free one.", show_default="8001")
    ] = None,
    threads: Annotated[
        str | None, typer.Option(help="Threads that compute.", show_default="all processors")
    ] = None,
    memory_budget: Annotated[
        str | None,
        typer.Option(
            help='Bytes for pictures and activations, or "2GiB".', show_default="70 % of memory"
        ),
    ] = None,
    whole_image_budget: Annotated[
        str | None,
        typer.Option(
            help="Bytes of activations above which tiles are used.",
            show_default="a quarter of the budget",
        ),
    ] = None,
    grace: Annotated[
        str | None,
        typer.Option(help="Seconds to finish what runs at the end.", show_default="30"),
    ] = None,
    log_level: Annotated[
        str | None,
        typer.Option(help="debug, info, warning or error.", show_default="info"),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any setting: memory.tile=128MiB.", metavar="NAME=VALUE"),
    ] = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="Load and run every model, show them, do not listen."),
    ] = False,
    print_config: Annotated[
        bool,
        typer.Option("--print-config", help="Show all settings in force as a TOML file, and end."),
    ] = False,
) -> None:
    """Serve the models of a folder over gRPC until SIGTERM or Ctrl-C.

    Prints `listening on HOST:PORT` on stdout once the models are loaded. Models that come, change
    or go while it runs are taken over.

    Settings come from, the later over the earlier: defaults, --config FILE (or ANYRES_CONFIG),
    ANYRES_PORT, ANYRES_MEMORY_BUDGET and so on in the environment, and what is given here.
    --print-config shows them all. --check ends with 0 if every model can be served, 1 if one
    cannot, 2 if a setting is wrong.

    Example: anyres serve out/models --port 8001
    """
    from anyres_server.errors import StartFailed
    from anyres_server.settings.mistake import Mistake

    options = {
        ("models",): ("FOLDER", models),
        ("host",): ("--host", host),
        ("port",): ("--port", port),
        ("grace_s",): ("--grace", grace),
        ("compute", "threads"): ("--threads", threads),
        ("memory", "budget"): ("--memory-budget", memory_budget),
        ("memory", "whole_image"): ("--whole-image-budget", whole_image_budget),
        ("observe", "log_level"): ("--log-level", log_level),
    }
    try:
        flags = dict(_flags(options, set_ or []))
        if print_config:
            _print_config(flags, config)
            return
        read = _read(flags, config)
        if check:
            _check(read)
        else:
            _run(read)
    except (Mistake, StartFailed) as error:
        raise typer.BadParameter(str(error)) from error


def _flags(
    options: Mapping[Key, tuple[str, str | None]], assignments: list[str]
) -> Iterator[tuple[Key, Given]]:
    from anyres_server.settings.mistake import Mistake, unknown
    from anyres_server.settings.reading import Given, known, parsed
    from anyres_server.settings.settings import Settings

    for key, (name, value) in options.items():
        if value is not None:
            yield key, Given(value, name)
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        key = tuple(name.strip().split("."))
        if not equals:
            raise Mistake(f"--set {assignment}: expected TABLE.NAME=VALUE")
        if key not in known():
            raise Mistake(f"--set {assignment}: {unknown(Settings, key)}")
        yield key, Given(parsed(value.strip()), f"--set {name.strip()}")


def _read(flags: Mapping[Key, Given], config: Path | None) -> Read:
    import os

    from anyres_server.settings.reading import read_settings

    return read_settings(flags, os.environ, config)


def _print_config(flags: Mapping[Key, Given], config: Path | None) -> None:
    """Without models, too: it is how a file is begun."""
    import os

    from anyres_server.settings.reading import Given, variable
    from anyres_server.settings.shown import as_toml

    named = config is not None or variable(("models",)) in os.environ
    example: dict[Key, Given] = {} if named else {("models",): Given("models", "example")}
    read = _read({**example, **flags}, config)
    typer.echo(as_toml(read.settings, read.origins), nl=False)


def _run(read: Read) -> None:
    from anyres_server.main import run
    from anyres_server.settings.shown import given

    run(read.settings, tuple(given(read.settings, read.origins)), read.ignored)


def _check(read: Read) -> None:
    from rich.console import Console

    from anyres_server.commands.checked import all_work, reasons, table, verdict
    from anyres_server.main import check

    models = check(read.settings)
    console = Console()
    console.print(table(models))
    for line in reasons(models):
        typer.echo(line)
    console.print(verdict(models), highlight=False)
    raise typer.Exit(0 if all_work(models) else 1)
