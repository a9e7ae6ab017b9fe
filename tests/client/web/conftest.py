"""A page about a real server with a network of no weights, both on free ports."""

from __future__ import annotations

import asyncio
import re
import sys
import threading
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from signal import SIGINT
from subprocess import PIPE, Popen

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from anyres_client import Client

# Three classes: logit c is channel c of the pixel, so the class is the brightest colour.
BRIGHTEST = """
<ir_version: 8, opset_import: ["" : 17]>
brightest (float[N,3,H,W] x) => (float[N,3,H,W] y) { y = Identity (x) }
"""


@pytest.fixture(scope="package")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("anyres_server.main")
    models = tmp_path_factory.mktemp("models")
    onnx.save(onnx.parser.parse_model(BRIGHTEST), models / "brightest.onnx")
    served = Served(models)
    served.start()
    yield served.address()
    served.stop()


class Served:
    """A server in a thread, with an event loop of its own."""

    def __init__(self, models: Path) -> None:
        self.models = models
        self.thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self.ready = threading.Event()

    def start(self) -> None:
        self.thread.start()

    def address(self) -> str:
        assert self.ready.wait(30), "the server did not start"
        return f"127.0.0.1:{self.port}"

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self.end.set)
        self.thread.join(30)

    async def _run(self) -> None:
        from anyres_server.main import running_server
        from anyres_server.settings.settings import Settings

        self.loop, self.end = asyncio.get_running_loop(), asyncio.Event()
        said = {"models": self.models, "port": 0, "compute": {"threads": 1}}
        async with running_server(Settings.model_validate(said)) as server:
            self.port = server.port
            self.ready.set()
            await self.end.wait()


@pytest.fixture(scope="package")
def client(address: str) -> Iterator[Client]:
    with Client(address) as client:
        client.wait_ready()
        yield client


@pytest.fixture(scope="package")
def shown_at(address: str) -> Iterator[str]:
    """The address of the page: `anyres web`, in a process of its own, since Gradio warns a lot."""
    pytest.importorskip("gradio", reason="the page needs the extra `web`")
    command = [sys.executable, "-m", "anyres_client.main", "web", "--server", address]
    with Popen([*command, "--port", "0"], stdout=PIPE, text=True) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        yield re.findall(r"http://\S+", said)[0]
        process.send_signal(SIGINT)
        assert process.wait(30) in (0, 130)


@pytest.fixture
def pixels() -> NDArray[np.uint8]:
    """Patches of 10 x 10 pixels of random colours: every one has a class and a confidence."""
    patches = np.random.default_rng(5).integers(0, 256, (6, 9, 3), np.uint8)
    return patches.repeat(10, axis=0).repeat(10, axis=1)


@pytest.fixture
def photo(tmp_path: Path, pixels: NDArray[np.uint8]) -> Path:
    path = tmp_path / "patches.png"
    path.write_bytes(png(pixels))
    return path


def png(pixels: NDArray[np.uint8]) -> bytes:
    file = BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()
