"""Addresses as people write them: where to listen, and where spans go.

Host       a name, an IPv4 or an IPv6 address, with or without brackets; unix:PATH
Collector  http://HOST:PORT or https://HOST:PORT
"""

from __future__ import annotations

from ipaddress import IPv6Address
from typing import Annotated, TypeAlias
from urllib.parse import urlsplit

from pydantic import AfterValidator

EXPECTED = "expected http://HOST:PORT, or https:// for TLS; collectors take gRPC at 4317"


def bare(host: str) -> str:
    """A host as sockets have it: an IPv6 address without its brackets."""
    return host.removeprefix("[").removesuffix("]")


def _host(host: str) -> str:
    """With brackets around an IPv6 address, whose colons are otherwise taken for a port's."""
    if not host:
        raise ValueError("expected a name or an address to listen at")
    try:
        IPv6Address(bare(host))
    except ValueError:
        return host
    return f"[{bare(host)}]"


def _collector(address: str) -> str:
    try:
        parts = urlsplit(address)
        complete = parts.scheme in ("http", "https") and parts.hostname and parts.port
    except ValueError as error:  # of its port, or of its brackets
        raise ValueError(EXPECTED) from error
    extra = parts.path.strip("/") or parts.query or parts.fragment or parts.username
    if not complete or extra or any(map(str.isspace, address)):
        raise ValueError(EXPECTED)
    return address


Host: TypeAlias = Annotated[str, AfterValidator(_host)]
Collector: TypeAlias = Annotated[str, AfterValidator(_collector)]
