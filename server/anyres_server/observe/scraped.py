"""Metrics and health over HTTP, on a port of their own, for what does not speak gRPC.

    GET /metrics    what Prometheus scrapes
    GET /healthz    200 while the server serves, 503 once it stops

They tell which models there are and how much is asked of them, so the port belongs inside.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from socketserver import ThreadingMixIn
from threading import Thread
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

from anyres_server.errors import StartFailed
from anyres_server.settings.addresses import bare

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

SLOWEST_S = 10.0  # for one to say what it wants: a thread is spent on each
PLAIN = ("Content-Type", "text/plain; charset=utf-8")


@contextmanager
def scraped(
    registry: CollectorRegistry, healthy: Callable[[], bool], host: str, port: int | None
) -> Iterator[int | None]:
    """Answer until the block ends; the port, None where none is wanted.

    Raises:
        StartFailed: the port is taken.
    """
    if port is None:
        yield None
        return
    try:
        kind = _Threads6 if ":" in host else _Threads
        server = make_server(bare(host), port, _app(registry, healthy), kind, _Quiet)
    except OSError as error:
        raise StartFailed(f"metrics cannot listen on {host}:{port}: {error.strerror}") from error
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, name="metrics")
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _app(registry: CollectorRegistry, healthy: Callable[[], bool]) -> WSGIApplication:
    metrics = make_wsgi_app(registry)

    def app(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        match environ["PATH_INFO"]:
            case "/metrics":
                answer: Iterable[bytes] = metrics(environ, start)
                return answer
            case "/healthz":
                status, word = ("200 OK", b"SERVING\n") if healthy() else _STOPPING
            case _:
                status, word = "404 Not Found", b"there are /metrics and /healthz\n"
        start(status, [PLAIN])  # a new list: what answers adds to it
        return [word]

    return app


_STOPPING = ("503 Service Unavailable", b"NOT_SERVING\n")


class _Threads(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Threads6(_Threads):
    address_family = socket.AF_INET6


class _Quiet(WSGIRequestHandler):
    timeout = SLOWEST_S

    def log_message(self, format: str, *args: Any) -> None:
        """Scrapes are no news."""
