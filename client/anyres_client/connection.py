"""Where a server is, and how it is talked to: TLS, a token, compression, several replicas.

    localhost:8001                      plain
    https://images.example.org:8001     TLS, the system's authorities
    dns:///anyres.internal:8001         every address behind the name, each request at the next

Where a name stands for several replicas, requests go round those that say that they serve.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import grpc
import grpc.aio

from anyres_client.errors import InvalidRequest

MESSAGE_BYTES = 256 * 2**20
HTTPS = "https://"

Metadata: TypeAlias = Sequence[tuple[str, str]]

_SERVICE_CONFIG = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "healthCheckConfig": {"serviceName": ""},
    # gRPC itself asks again where a server is not there; four attempts within about two seconds.
    "methodConfig": [
        {
            "name": [{}],
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.2s",
                "maxBackoff": "2s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ],
    # Once half of the last attempts failed, none is made twice: a server in trouble gets no more.
    "retryThrottling": {"maxTokens": 100, "tokenRatio": 1.0},
}

OPTIONS = (
    ("grpc.max_send_message_length", MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MESSAGE_BYTES),
    # A request that outgrows this buffer is never retried, and gRPC's own is smaller than a photo.
    ("grpc.per_rpc_retry_buffer_size", MESSAGE_BYTES),
    # While a server starts, look for it several times a second.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2000),
    ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
)


@dataclass(frozen=True)
class Tls:
    """PEM files; without any, the server is checked by the system's authorities.

    Args:
        authorities: who signs the server's certificate; the system's own where None.
        certificate: the client's own, where the server wants one.
        key: the certificate's, without a passphrase.
    """

    authorities: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    def credentials(self) -> grpc.ChannelCredentials:
        """What gRPC wants.

        Raises:
            InvalidRequest: a file cannot be read or is none of PEM, or one of certificate and key
                is missing.
        """
        if (self.certificate is None) != (self.key is None):
            raise InvalidRequest("a client's certificate and its key come together")
        self._check()
        return grpc.ssl_channel_credentials(
            _read(self.authorities), _read(self.key), _read(self.certificate)
        )

    def _check(self) -> None:
        """See whether OpenSSL takes the files: gRPC only says that nobody could be reached."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if self.authorities is not None:
            try:
                context.load_verify_locations(cadata=(_read(self.authorities) or b"").decode())
            except (ssl.SSLError, ValueError) as error:
                raise InvalidRequest(f"{self.authorities} holds no certificate (PEM)") from error
        if self.certificate is not None and self.key is not None:
            _read(self.certificate), _read(self.key)
            try:
                context.load_cert_chain(self.certificate, self.key, lambda: b"")
            except (ssl.SSLError, ValueError) as error:
                raise InvalidRequest(
                    f"{self.certificate} and {self.key} are no certificate and its key (PEM, the "
                    "key without a passphrase)"
                ) from error


@dataclass(frozen=True)
class Connection:
    """One server, or replicas behind one name.

    Args:
        address: "localhost:8001" for a plain connection, "https://images.example.org:8001" for
            TLS with the system's authorities, "dns:///anyres.internal:8001" for every address
            behind a name, each request at the next that says that it serves.
        tls: files, where "https://" alone does not do.
        token: shown with every call.
        compressed: gzip, for slow networks; photos are compressed already.
    """

    address: str = "localhost:8001"
    tls: Tls | None = None
    token: str | None = field(default=None, repr=False)
    compressed: bool = False

    @property
    def metadata(self) -> Metadata:
        """What goes with every call."""
        return () if self.token is None else (("authorization", f"Bearer {self.token}"),)

    def channel(self) -> grpc.Channel:
        """A blocking channel."""
        if (credentials := self._credentials()) is None:
            return grpc.insecure_channel(self._target, **self._options())
        return grpc.secure_channel(self._target, credentials, **self._options())

    def aio_channel(self) -> grpc.aio.Channel:
        """Its asyncio twin."""
        if (credentials := self._credentials()) is None:
            return grpc.aio.insecure_channel(self._target, **self._options())
        return grpc.aio.secure_channel(self._target, credentials, **self._options())

    @property
    def _target(self) -> str:
        return self.address.removeprefix(HTTPS)

    def _credentials(self) -> grpc.ChannelCredentials | None:
        tls = self.tls or (Tls() if self.address.startswith(HTTPS) else None)
        return None if tls is None else tls.credentials()

    def _options(self) -> dict[str, Any]:
        gzip = grpc.Compression.Gzip if self.compressed else None
        return {"options": OPTIONS, "compression": gzip}


def _read(path: Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidRequest(f"cannot read {path}: {error.strerror or error}") from error


def connected(address: str | Connection, tls: Tls | None, token: str | None) -> Connection:
    """A connection to an address; one that is given stays as it is.

    Raises:
        InvalidRequest: it comes with more.
    """
    if isinstance(address, str):
        return Connection(address, tls, token)
    if tls is not None or token is not None:
        raise InvalidRequest("a connection brings its own TLS and token: give those to it")
    return address
