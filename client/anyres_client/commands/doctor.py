"""`anyres doctor`."""

from __future__ import annotations

from typing import Annotated

import typer

from anyres_client.commands.connecting import ADDRESS, Connecting, asks_a_server


@asks_a_server
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON a finding.")] = False,
    timeout: Annotated[float, typer.Option(min=0.001, help="Seconds for each call.")] = 10.0,
    *,
    connecting: Connecting,
) -> None:
    """Say what is installed, whether the server answers, and whether its models predict.

    What is missing says what brings it; the exit code is 1 if something is broken that was asked
    for: a server that was named, or one of its models.

    Example: anyres doctor --server localhost:8001
    """
    from anyres_client.client import Client
    from anyres_client.doctor import examine
    from anyres_client.show import findings_as_json, findings_as_table

    asked = connecting.server != ADDRESS or connecting.local is not None
    connected = connecting.connection()
    with Client(connected, timeout=timeout) as client:
        findings = list(examine(client, asked=asked))
    (findings_as_json if as_json else findings_as_table)(findings)
    if any(finding.state == "broken" for finding in findings):
        raise typer.Exit(1)
