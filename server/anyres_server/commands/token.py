"""The `anyres token` command."""

from __future__ import annotations

import re
import sys
from typing import Annotated

import typer

NAME = re.compile(r"[A-Za-z0-9._:@-]{1,64}")


def token(
    name: Annotated[str, typer.Argument(help="Whose it is, as it shall stand in logs.")],
    model: Annotated[
        list[str] | None,
        typer.Option(help="A model that it opens; may be said again.", show_default="all"),
    ] = None,
    requests: Annotated[
        int | None, typer.Option(help="At once.", show_default="the server's own limit")
    ] = None,
    requests_per_s: Annotated[
        float | None, typer.Option(help="A second.", show_default="no limit")
    ] = None,
    megapixels_per_s: Annotated[
        float | None, typer.Option(help="A second.", show_default="no limit")
    ] = None,
    administers: Annotated[
        bool, typer.Option("--administers", help="May load models and change settings.")
    ] = False,
    given: Annotated[
        bool, typer.Option("--given", help="Take the token from stdin instead of a new one.")
    ] = False,
) -> None:
    """Make a token: what the server is told of it on stdout, the token itself on stderr, once.

    The server's file holds a hash, from which nobody gets the token back.

    Example: anyres token alice --model climate_unet >> tokens.toml
    """
    from pydantic import ValidationError

    from anyres_server.rpc.tokens import ALL, Rights, as_toml, hashed, new_token

    if not NAME.fullmatch(name):
        raise typer.BadParameter(
            f"a name is up to 64 letters, digits or any of ._:@-; got {name!r}"
        )
    secret = sys.stdin.readline().strip() if given else new_token()
    if not secret:
        raise typer.BadParameter("stdin has no token; expected one line")
    try:
        rights = Rights(
            sha256=hashed(secret),
            models=tuple(model or (ALL,)),
            requests=requests,
            requests_per_s=requests_per_s,
            megapixels_per_s=megapixels_per_s,
            administers=administers,
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise typer.BadParameter(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    sys.stdout.write(as_toml(name, rights))
    if not given:
        sys.stderr.write(f"{secret}\n")
