"""Asks an anyres server: library, command line, batch jobs.

from anyres_client import Client
Client("localhost:8001").predict("photo.jpg", model="climate_unet").overlay("photo.jpg")

Names are loaded when they are first used, so that importing the package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from anyres_client.async_client import AsyncClient
    from anyres_client.client import Client
    from anyres_client.connection import Connection, Tls
    from anyres_client.errors import (
        ClientError,
        DeadlineExceeded,
        InvalidRequest,
        ModelNotFound,
        ModelNotReady,
        NotAllowed,
        NotRequested,
        NotServing,
        Overloaded,
        ServerFailed,
        Unavailable,
    )
    from anyres_client.prediction import Prediction

__all__ = [
    "AsyncClient",
    "Client",
    "ClientError",
    "Connection",
    "DeadlineExceeded",
    "InvalidRequest",
    "ModelNotFound",
    "ModelNotReady",
    "NotAllowed",
    "NotRequested",
    "NotServing",
    "Overloaded",
    "Prediction",
    "ServerFailed",
    "Tls",
    "Unavailable",
]

_HOMES = {
    "AsyncClient": "async_client",
    "Client": "client",
    "Connection": "connection",
    "Prediction": "prediction",
    "Tls": "connection",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES.get(name, 'errors')}"), name)
