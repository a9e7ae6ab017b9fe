"""`anyres estimate`."""

from __future__ import annotations

from typing import Annotated

import typer

from anyres_client.commands.connecting import Connecting, asks_a_server, model_names


@asks_a_server
def estimate(
    sizes: Annotated[
        list[str], typer.Argument(metavar="SIZE...", help="Sizes of images, WIDTHxHEIGHT.")
    ],
    model: Annotated[str, typer.Option(help="The model.", autocompletion=model_names)],
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON a size.")] = False,
    *,
    connecting: Connecting,
) -> None:
    """Say what images of some sizes would cost a server, without running them.

    A size that the server would refuse is shown as such, and why on standard error; the exit code
    is 2 then.

    Example: anyres estimate 4000x3000 --model climate_unet
    """
    from anyres_client.answers import Estimate, Size, size_of
    from anyres_client.client import Client
    from anyres_client.errors import InvalidRequest
    from anyres_client.show import Estimates, estimates_as_json, estimates_as_table, refusal

    def asked(client: Client, size: Size) -> Estimate | InvalidRequest:
        try:
            return client.estimate(model, size)
        except InvalidRequest as error:
            return error

    wanted = [size_of(text) for text in sizes]
    with Client(connecting.connection()) as client:
        found: Estimates = [(size, asked(client, size)) for size in wanted]
    (estimates_as_json if as_json else estimates_as_table)(found)
    if any(refusal(answer) for _, answer in found):
        raise typer.Exit(2)
