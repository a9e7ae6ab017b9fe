"""The options of every command that asks a server: where it is, and how it is talked to.

    @asks_a_server
    def models(..., connecting: Connecting) -> None:     has --server, --token, --ca ... as well

A command's own options come first, on the command line's help too.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

if TYPE_CHECKING:
    from anyres_client.connection import Connection

_PANEL = "Connection"
ADDRESS = "localhost:8001"
COMPLETED_WITHIN_S = 0.5  # or not at all: somebody waits at the prompt


@dataclass(frozen=True)
class Connecting:
    """What was said about the server; any file of TLS means TLS."""

    server: Annotated[
        str,
        typer.Option(
            envvar="ANYRES_SERVER",
            help="The server's address; https://... for TLS, dns:///... for all replicas of a "
            "name.",
            rich_help_panel=_PANEL,
        ),
    ] = ADDRESS
    token: Annotated[
        str | None,
        typer.Option(
            envvar="ANYRES_TOKEN",
            help="Shown to the server; other people of this machine see what is typed, not what "
            "is in the environment.",
            rich_help_panel=_PANEL,
        ),
    ] = None
    authorities: Annotated[
        Path | None,
        typer.Option(
            "--ca",
            envvar="ANYRES_CA",
            help="Who signs the server's certificate (PEM).",
            rich_help_panel=_PANEL,
        ),
    ] = None
    certificate: Annotated[
        Path | None,
        typer.Option(
            "--cert",
            envvar="ANYRES_CERT",
            help="Your own certificate (PEM).",
            rich_help_panel=_PANEL,
        ),
    ] = None
    key: Annotated[
        Path | None,
        typer.Option("--key", envvar="ANYRES_KEY", help="Its key (PEM).", rich_help_panel=_PANEL),
    ] = None
    local: Annotated[
        Path | None,
        typer.Option(
            "--local",
            metavar="MODEL.onnx",
            help="Answer in this process, from this file or folder, instead of any server.",
            rich_help_panel=_PANEL,
        ),
    ] = None

    def connection(self) -> Connection:
        """What a client connects to.

        Raises:
            InvalidRequest: what answers in this process is not installed.
        """
        from anyres_client.connection import Connection, Tls
        from anyres_client.local import local_connection

        if self.local is not None:
            return local_connection(self.local)
        files = (self.authorities, self.certificate, self.key)
        return Connection(self.server, Tls(*files) if any(files) else None, self.token)


def asks_a_server(command: Callable[..., None]) -> Callable[..., None]:
    """Turn a command's parameter `connecting` into the options of `Connecting`."""
    own = inspect.signature(command, eval_str=True)
    parameters = [each for each in own.parameters.values() if each.annotation is not Connecting]
    parameters += _OPTIONS

    @wraps(command)
    def asking(**given: Any) -> None:
        _hush_grpc()
        connecting = Connecting(**{each.name: given.pop(each.name) for each in _OPTIONS})
        command(**given, connecting=connecting)

    asking.__annotations__ = {each.name: each.annotation for each in parameters}
    asking.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
    return asking


def model_names(context: typer.Context, incomplete: str) -> list[str]:
    """The models of a half-typed command's server, for the shell; none where it is slow."""
    _hush_grpc()
    given = {each.name: context.params.get(each.name, each.default) for each in _OPTIONS}
    connection = Connecting(**given).connection()
    from anyres_client.client import Client
    from anyres_client.errors import ClientError

    try:
        with Client(connection, timeout=COMPLETED_WITHIN_S) as client:
            names = [model.name for model in client.models() if model.ready]
    except ClientError:
        return []
    return [name for name in names if name.startswith(incomplete)]


def _hush_grpc() -> None:
    """A command says in one line what went wrong; gRPC's own log would say it in ten more."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")


def _options() -> list[inspect.Parameter]:
    hints = get_type_hints(Connecting, include_extras=True)
    kind = inspect.Parameter.KEYWORD_ONLY
    return [
        inspect.Parameter(each.name, kind, default=each.default, annotation=hints[each.name])
        for each in fields(Connecting)
    ]


_OPTIONS = _options()
