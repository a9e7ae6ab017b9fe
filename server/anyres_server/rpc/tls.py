"""The server's certificate, and whose clients' certificates it takes; both read again when changed.

gRPC asks for them before each handshake, so a new certificate holds for the next connection and
those that are open stay open.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

import grpc
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import Certificate, load_pem_x509_certificates

from anyres_server.errors import StartFailed
from anyres_server.regular import read_regular
from anyres_server.rpc.reloaded import Reloaded
from anyres_server.settings.sections import Access

TIME = "%Y-%m-%d %H:%M UTC"
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
    """What the files hold, if clients can be shown it.

    Raises:
        OSError: one of them cannot be read.
        ValueError: it is something else, out of date, or does not belong to the others.
    """
    chain_pem, key_pem = read_regular(chain), read_regular(key)
    own = _certificates(chain, chain_pem)[0]
    _check_now(chain, own)
    try:
        secret = load_pem_private_key(key_pem, password=None)
    except TypeError as error:
        raise ValueError(f"{key} is encrypted; expected a key without a password") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ValueError(f"{key} is no private key in PEM") from error
    if secret.public_key() != own.public_key():
        raise ValueError(f"{key} is not the key of the certificate {chain}")
    roots = None if authorities is None else read_regular(authorities)
    if authorities is not None and roots is not None:
        _certificates(authorities, roots)
    return grpc.ssl_server_certificate_configuration(
        [(key_pem, chain_pem)], root_certificates=roots
    )


def _certificates(file: Path, pem: bytes) -> list[Certificate]:
    try:
        return load_pem_x509_certificates(pem)
    except ValueError as error:
        raise ValueError(f"{file} holds no certificate in PEM") from error


def _check_now(file: Path, certificate: Certificate) -> None:
    """Refuse a certificate that every client would refuse."""
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    now = datetime.now(UTC)
    if now > ends:
        raise ValueError(f"{file} expired at {ends:{TIME}}; expected a certificate that holds now")
    if now < begins:
        raise ValueError(f"{file} is not valid before {begins:{TIME}}; here it is {now:{TIME}}")
