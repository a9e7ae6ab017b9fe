"""The gRPC server's front: its port, what every call passes, health, and how it stops.

async with front(settings, services, tell) as entrance:
    ... add services to entrance.server ...
    port = entrance.listen()
    await entrance.server.start()
    ...
    await entrance.stop(inner_gate)
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from anyres_server.errors import StartFailed
from anyres_server.observe.events import Tell, telling
from anyres_server.observe.share import Share
from anyres_server.observe.tracing import Tracing, describe, provider
from anyres_server.rpc import health
from anyres_server.rpc.access import Access, charging, check_names
from anyres_server.rpc.calls import CallInterceptor, Passage
from anyres_server.rpc.doors import Doors
from anyres_server.rpc.health import Health
from anyres_server.rpc.messages import Messages
from anyres_server.rpc.rates import Pace
from anyres_server.rpc.reloaded import Reloaded
from anyres_server.rpc.telling import Telling
from anyres_server.rpc.tls import certificates, credentials
from anyres_server.rpc.tokens import read_tokens
from anyres_server.schedule.admission import Gate
from anyres_server.settings.sections import Limits
from anyres_server.settings.settings import Settings

log = logging.getLogger(__name__)

ENVELOPE_BYTES = 2**20  # of a message, around its pixels
LAST_WORDS_S = 1.0  # for answers that are made but not yet sent
HANDSHAKE_S = 10  # for a connection to say what it wants
NEVER_MS = 2**31 - 1  # as gRPC has it
STREAMS_EACH = 1024  # calls of one connection beyond all limits
PING_AT_MOST_EVERY_S = 5  # by clients, to keep their connections open


@dataclass(frozen=True, eq=False)
class Front:
    """A server that is not yet listening."""

    server: grpc.aio.Server
    health: Health
    tell: Tell  # everyone who wants to know what happens to requests
    passage: Passage
    settings: Settings
    credentials: grpc.ServerCredentials | None
    traced: Share | None  # how many requests are; None where no collector is named

    def listen(self) -> int:
        """Take the port; its number.

        Raises:
            StartFailed: it is taken.
        """
        address = f"{self.settings.host}:{self.settings.port}"
        try:
            if self.credentials is None:
                return self.server.add_insecure_port(address)
            return self.server.add_secure_port(address, self.credentials)
        except RuntimeError as error:
            raise StartFailed(
                f"cannot listen on {address}: the port is taken, or the address is not this "
                "machine's"
            ) from error

    async def stop(self, inside: Gate) -> None:
        """Take no more work, finish what was let in, for `grace_s` at most, and close the port."""
        self.health.stop()
        self.passage.doors.close()
        inside.close()
        self.passage.messages.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(self.settings.grace_s):
                await inside.emptied()
                await self.passage.doors.emptied()
        await self.server.stop(LAST_WORDS_S)


@asynccontextmanager
async def front(settings: Settings, services: Iterable[str], tell: Tell) -> AsyncIterator[Front]:
    """All that stands before the services; it is kept up to date until the block ends.

    Raises:
        StartFailed: a file of certificates or tokens cannot be used, or says what cannot be.
    """
    access, limits = settings.access, settings.limits
    services = tuple(services)
    check_names(access.no_token, (*services, health.NAME, reflection.SERVICE_NAME))
    async with AsyncExitStack() as stack:
        secure = None
        if (loading := certificates(access)) is not None:
            mutual = access.client_authorities is not None
            secure = credentials(await stack.enter_async_context(loading), mutual=mutual)
        known = None
        if access.tokens is not None:
            read = partial(read_tokens, access.tokens)
            reading = Reloaded("tokens", [access.tokens], read)
            known = await stack.enter_async_context(reading.watched())
            _warn_of_plain_tokens(settings)
        messages = Messages(settings.memory.resident)
        await stack.enter_async_context(messages.watched())
        traced = Share(settings.observe.traced_share)
        spans = await stack.enter_async_context(provider(settings.observe.traces_to, traced))
        everyone = Pace("all callers", limits.requests_per_s, limits.megapixels_per_s)
        tell = telling([tell, charging(everyone), describe])
        passage = Passage(
            Telling(tell, Tracing(spans), log_calls=settings.observe.log_calls),
            Doors(limits),
            Access(known, access.no_token),
            everyone,
            messages,
            limits.message_s,
        )
        server = grpc.aio.server(interceptors=[CallInterceptor(passage)], options=_options(limits))
        checks = Health((*services, health.NAME))
        health_pb2_grpc.add_HealthServicer_to_server(checks, server)
        if access.reflection:
            names = (*services, health.NAME, reflection.SERVICE_NAME)
            reflection.enable_server_reflection(names, server)
        sent = traced if settings.observe.traces_to else None
        yield Front(server, checks, tell, passage, settings, secure, sent)


def _options(limits: Limits) -> list[tuple[str, int]]:
    message = limits.message_bytes + ENVELOPE_BYTES
    silent_ms = int(limits.keepalive_s * 1e3)
    age_ms = int(limits.connection_age_s * 1e3) or NEVER_MS
    return [
        ("grpc.max_receive_message_length", message),
        ("grpc.max_send_message_length", message),
        ("grpc.so_reuseport", 0),  # a port that is taken is an error, not a shared port
        # A peer that is gone without a word is found out, and what it asked is dropped.
        ("grpc.keepalive_time_ms", silent_ms),
        ("grpc.keepalive_timeout_ms", silent_ms),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),  # as many as it takes
        ("grpc.http2.ping_timeout_ms", silent_ms),  # the keepalive's own does not end it by 1.85
        ("grpc.http2.min_recv_ping_interval_without_data_ms", PING_AT_MOST_EVERY_S * 1000),
        ("grpc.max_connection_age_ms", age_ms),  # calls that it has go on to their end
        ("grpc.server_handshake_timeout_ms", HANDSHAKE_S * 1000),
        ("grpc.max_allowed_incoming_connections", limits.connections),
        # So many that a caller over the limits above is told, and does not wait in its own queue.
        ("grpc.max_concurrent_streams", STREAMS_EACH + limits.requests + 3 * limits.streams),
    ]


def _warn_of_plain_tokens(settings: Settings) -> None:
    if settings.access.certificate is None and not _is_this_machine(settings.host):
        log.warning(
            "tokens come over %s without TLS: whoever listens can use them; "
            "set access.certificate and access.key",
            settings.host,
        )


def _is_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.startswith("unix:")
