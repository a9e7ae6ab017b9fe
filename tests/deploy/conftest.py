"""A server whose every metric has something to tell."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import pytest
from PIL import Image
from tests.server.conftest import QUIET, save

from anyres_client import AsyncClient, ClientError
from anyres_server.main import running_server
from anyres_server.settings.settings import Settings


async def traffic(server: Watched) -> None:
    """One answer whole, one in tiles, one refusal, one caller who leaves."""

    async def until(told: str) -> None:
        async with asyncio.timeout(20):
            while told not in await asyncio.to_thread(metrics, server.metrics_port):
                pass

    async with AsyncClient(server.address) as client:
        for side in (32, 400):
            await client.predict(picture(side), model="unet")
        with pytest.raises(ClientError):
            await client.predict(picture(32), model="nobody's")
        leaves = asyncio.create_task(client.predict(picture(4000), model="unet"))
        await until("anyres_backlog_pixels 1.6e+07")
        leaves.cancel()
        await until('anyres_cancelled_total{call="Predict"')


def picture(side: int) -> bytes:
    file = BytesIO()
    Image.fromarray(np.zeros((side, side, 3), np.uint8)).save(file, "PNG")
    return file.getvalue()


@dataclass(frozen=True)
class Watched:
    """A server that answers, and where it tells its metrics."""

    address: str
    metrics_port: int


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncIterator[Watched]:
    """A server that was asked a few things."""
    save(tmp_path, "unet")
    tables = {"memory": {"whole_image": "4 MiB", "tile": "4 MiB"}, "observe": {"metrics_port": 0}}
    quiet = {"compute": {"threads": 1}, "grace_s": QUIET["grace_s"]}
    settings = Settings.model_validate({"models": tmp_path, "port": 0} | quiet | tables)
    async with running_server(settings) as server:
        assert server.metrics_port
        found = Watched(f"127.0.0.1:{server.port}", server.metrics_port)
        await traffic(found)
        yield found


@pytest.fixture
def metrics_port(watched: Watched) -> int:
    """Where that server tells its metrics."""
    return watched.metrics_port


def metrics(port: int) -> str:
    return read(f"http://127.0.0.1:{port}/metrics")


def read(url: str) -> str:
    with urlopen(url, timeout=10) as answer:
        text: str = answer.read().decode()
    return text
