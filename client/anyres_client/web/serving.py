"""The page behind a port.

It asks its own host and nobody else: no fonts, no scripts, no statistics of others. The browser is
told so too (Content-Security-Policy), whatever a library may try.
"""

from __future__ import annotations

import socket
import sys
import webbrowser

import gradio
import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from anyres_client.client import Client
from anyres_client.errors import InvalidRequest
from anyres_client.web.page import examples, page, style

MOST_UPLOADED = 2**30  # bytes; beyond it no request to the server can hold the picture anyway

# Gradio compiles our viewer's script (eval), and its own styles are inline.
POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; "
    "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; font-src 'self' data:; "
    "connect-src 'self' data: blob:; worker-src 'self' blob:; frame-ancestors 'self'"
)

FONTS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "sans-serif")


def serve(client: Client, host: str, port: int, *, open_page: bool) -> None:
    """Show the page until Ctrl-C.

    Raises:
        InvalidRequest: nobody can listen there.
    """
    with listening(host, port) as listener:
        address = f"http://{_name(host)}:{listener.getsockname()[1]}"
        sys.stdout.write(f"anyres web: {address} shows what {client.connection.address} says\n")
        sys.stdout.flush()
        if open_page:
            webbrowser.open(address)  # it waits in the listener's queue
        web_server(client).run(sockets=[listener])


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 is any that is free.

    Raises:
        InvalidRequest: nobody can listen there.
    """
    try:
        return socket.create_server((host, port))
    except (OSError, OverflowError) as error:
        raise InvalidRequest(f"cannot listen on {host}:{port}: {error}") from error


def web_server(client: Client) -> uvicorn.Server:
    """What serves the page on the sockets that it is run with."""
    app = gradio.mount_gradio_app(
        FastAPI(openapi_url=None),
        page(client),
        path="/",
        footer_links=[],
        ssr_mode=False,
        enable_monitoring=False,
        max_file_size=MOST_UPLOADED,
        allowed_paths=[str(examples())],
        theme=gradio.themes.Base(
            primary_hue="slate", neutral_hue="slate", font=FONTS, font_mono=("ui-monospace",)
        ),
        css=style(),
    )
    return uvicorn.Server(uvicorn.Config(OwnHostOnly(app), log_level="warning"))


class OwnHostOnly:
    """Adds the policy to every response."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as the app does, with the header."""

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [*message.get("headers", ()), _HEADER]
                message = {**message, "headers": headers}
            await send(message)

        await self.app(scope, receive, told)


_HEADER = (b"content-security-policy", POLICY.encode())


def _name(host: str) -> str:
    return "localhost" if host in ("0.0.0.0", "::", "127.0.0.1") else host
