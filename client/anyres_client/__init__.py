"""Asks an anyres server: library, command line, batch jobs.

from anyres_client import Client
Client("localhost:8001").predict("photo.jpg", model="climate_unet").overlay("photo.jpg")
"""

from __future__ import annotations

from anyres_client.client import AsyncClient, Client
from anyres_client.errors import ClientError
from anyres_client.prediction import Prediction

__all__ = ["AsyncClient", "Client", "ClientError", "Prediction"]
