"""The real thing: the models of `make models` behind a real server in a process of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from demo.serving import served

from anyres_client import Client

ROOT = Path(__file__).parents[2]
MODELS = ROOT / "out/models"
ASSETS = ROOT / "out/assets"


@pytest.fixture(scope="session")
def assets() -> Path:
    """The folder of the photographs' packages."""
    if not (ASSETS / ".complete").exists():
        pytest.skip("`make models` fetches the photographs")
    return ASSETS


@pytest.fixture(scope="session")
def address(assets: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of the three models that we ship."""
    if len(list(MODELS.glob("*.onnx"))) < 3:
        pytest.skip("`make models` exports the models")
    with served(MODELS, tmp_path_factory.mktemp("server") / "log") as address:
        yield address


@pytest.fixture(scope="session")
def client(address: str) -> Iterator[Client]:
    """A client of that server."""
    with Client(address) as client:
        client.wait_ready(60)
        yield client
