"""`anyres models`."""

from __future__ import annotations

from typing import Annotated

import typer

from anyres_client.commands.connecting import Connecting, asks_a_server


@asks_a_server
def models(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Show this model's card.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    *,
    connecting: Connecting,
) -> None:
    """List a server's models, or show what one of them says about itself.

    Example: anyres models mobilenet_v2_fcn
    """
    from anyres_client.client import Client
    from anyres_client.show import card_as_json, card_as_text, models_as_json, models_as_table

    with Client(connecting.connection()) as client:
        if name is not None:
            (card_as_json if as_json else card_as_text)(client.model(name))
        else:
            (models_as_json if as_json else models_as_table)(client.models())
