"""The options of every command that asks a server: where it is, and how it is talked to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from anyres_client.connection import Connection

_PANEL = "Connection"
ADDRESS = "localhost:8001"

Server = Annotated[
    str,
    typer.Option(
        envvar="ANYRES_SERVER",
        help="The server's address; https://... for TLS, dns:///... for all replicas of a name.",
        rich_help_panel=_PANEL,
    ),
]
Token = Annotated[
    str | None,
    typer.Option(
        envvar="ANYRES_TOKEN",
        help="Shown to the server; other people of this machine see what is typed, not what is in "
        "the environment.",
        rich_help_panel=_PANEL,
    ),
]
Authorities = Annotated[
    Path | None,
    typer.Option(
        "--ca",
        envvar="ANYRES_CA",
        help="Who signs the server's certificate (PEM).",
        rich_help_panel=_PANEL,
    ),
]
Certificate = Annotated[
    Path | None,
    typer.Option(
        "--cert", envvar="ANYRES_CERT", help="Your own certificate (PEM).", rich_help_panel=_PANEL
    ),
]
Key = Annotated[
    Path | None,
    typer.Option("--key", envvar="ANYRES_KEY", help="Its key (PEM).", rich_help_panel=_PANEL),
]
Local = Annotated[
    Path | None,
    typer.Option(
        "--local",
        metavar="MODEL.onnx",
        help="Answer in this process, from this file or folder, instead of any server.",
        rich_help_panel=_PANEL,
    ),
]


def connection(
    server: str,
    token: str | None,
    authorities: Path | None,
    certificate: Path | None,
    key: Path | None,
    local: Path | None = None,
) -> Connection:
    """What the options say; any file of TLS means TLS.

    Raises:
        InvalidRequest: what answers in this process is not installed.
    """
    from anyres_client.connection import Connection, Tls
    from anyres_client.local import local_connection

    if local is not None:
        return local_connection(local)
    files = (authorities, certificate, key)
    return Connection(server, Tls(*files) if any(files) else None, token)
