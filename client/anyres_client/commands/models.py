"""`anyres models`."""

from __future__ import annotations

from typing import Annotated

import typer


def models(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Show this model's card.")
    ] = None,
    server: Annotated[
        str, typer.Option(envvar="ANYRES_SERVER", help="The server's address.")
    ] = "localhost:8001",
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """List a server's models, or show what one of them says about itself.

    Example: anyres models mobilenet_v2_fcn
    """
    from anyres_client.client import Client
    from anyres_client.show import card_as_json, card_as_text, models_as_json, models_as_table

    with Client(server) as client:
        if name is not None:
            (card_as_json if as_json else card_as_text)(client.model(name))
        else:
            (models_as_json if as_json else models_as_table)(client.models())
