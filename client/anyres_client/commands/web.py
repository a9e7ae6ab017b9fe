"""`anyres web`."""

from __future__ import annotations

import os
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from anyres_client.commands.connecting import Connecting, asks_a_server


@asks_a_server
def web(
    host: Annotated[
        str, typer.Option(help="Who may see the page: 127.0.0.1 for you alone, 0.0.0.0 for all.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Where the page is; 0 for any free port.")] = 7860,
    open_page: Annotated[bool, typer.Option("--open", help="Open it in your browser.")] = False,
    *,
    connecting: Connecting,
) -> None:
    """Show what a server says of any picture, on a page in the browser.

    Drop a picture, choose a model: the answer lies over the picture, fades with a slider, and tells
    the class under the pointer. The page asks nobody but the server.

    Example: anyres web --server localhost:8001 --open
    """
    from anyres_client.client import Client

    with (
        Client(connecting.connection()) as client,
        TemporaryDirectory(prefix="anyres-web-") as folder,
    ):
        # Pages of one machine share a folder otherwise, and the first to end empties it for all.
        os.environ["GRADIO_TEMP_DIR"] = folder
        from anyres_client.web.serving import serve

        serve(client, host, port, open_page=open_page)
