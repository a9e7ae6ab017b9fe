"""The server's certificate, and whose clients' certificates it takes; both read again when changed.

gRPC asks for them before each handshake, so a new certificate holds for the next connection and
those that are open stay open.
"""

from __future__ import annotations

import ssl
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TypeAlias

import grpc

from anyres_server.errors import StartFailed
from anyres_server.regular import read_regular
from anyres_server.rpc.reloaded import Reloaded
from anyres_server.settings.sections import Access

Certificates: TypeAlias = "Reloaded[grpc.ServerCertificateConfiguration]"


def certificates(access: Access) -> AbstractAsyncContextManager[Certificates] | None:
    """What the settings name; None where the server speaks without TLS.

    Raises:
        StartFailed: a certificate without its key, or the other way round.
    """
    chain, key, authorities = access.certificate, access.key, access.client_authorities
    if chain is None and key is None and authorities is None:
        return None
    if chain is None or key is None:
        raise StartFailed("TLS needs both: access.certificate and access.key")
    files = [file for file in (chain, key, authorities) if file is not None]
    return Reloaded("certificates", files, lambda: _read(chain, key, authorities)).watched()


def credentials(loaded: Certificates, *, mutual: bool) -> grpc.ServerCredentials:
    """What a port needs; `mutual`: clients must show a certificate, too."""
    return grpc.dynamic_ssl_server_credentials(
        loaded.value, lambda: loaded.value, require_client_authentication=mutual
    )


def _read(chain: Path, key: Path, authorities: Path | None) -> grpc.ServerCertificateConfiguration:
    """Raises OSError for files that are not there, or do not belong together (ssl.SSLError is)."""
    trial = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trial.load_cert_chain(chain, key, password=_no_password)
    if authorities is not None:
        trial.load_verify_locations(authorities)
    return grpc.ssl_server_certificate_configuration(
        [(read_regular(key), read_regular(chain))],
        root_certificates=None if authorities is None else read_regular(authorities),
    )


def _no_password() -> str:
    """OpenSSL would ask the terminal."""
    raise ValueError("the key is encrypted; expected one without a password")
