"""Whether a server could listen where it is told to, found out without taking its ports."""

from __future__ import annotations

import socket

from anyres_server.errors import StartFailed
from anyres_server.settings.addresses import bare
from anyres_server.settings.settings import Settings


def check_addresses(settings: Settings) -> None:
    """Ports that are taken are no matter: they may be by the server that this one replaces.

    Raises:
        StartFailed: a host is none of this machine's, or one port is to serve twice.
    """
    if not settings.host.startswith("unix:"):
        _check("host", settings.host)
    observe = settings.observe
    if observe.metrics_port is None:
        return
    host = observe.metrics_host or settings.host
    _check("observe.metrics_host", host)
    if observe.metrics_port and (host, observe.metrics_port) == (settings.host, settings.port):
        raise StartFailed(
            f"observe.metrics_port: {settings.port} is the server's own port; expected another"
        )


def _check(setting: str, host: str) -> None:
    try:
        family, kind, _, _, address = socket.getaddrinfo(bare(host), 0, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as found:
            found.bind(address)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise StartFailed(f"{setting}: nothing can listen at {host!r}: {why}") from error
