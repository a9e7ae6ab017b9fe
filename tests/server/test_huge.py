"""A client and a server, neither of which ever has the whole picture; what the page says runs."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from anyres_client.client import Client
from anyres_client.errors import InvalidRequest
from anyres_client.tiles import Huge, Strips
from anyres_server.settings.settings import Settings

PAGE = Path(__file__).parents[2] / "docs/server/huge-images.md"
PIXELS = np.random.default_rng(0).integers(0, 256, (140, 90, 3), np.uint8)
TILED = {"memory_whole_image": 150_000, "memory_tile": 150_000}


def classes(client: Client, picture: Huge) -> NDArray[Any]:
    with client.predict_tiles(picture, model="unet") as tiles:
        assert tiles.plan.image_size == (140, 90)
        assert tiles.plan.pieces > 1
        found = np.full(tiles.plan.grid_size, 255, np.uint8)
        for tile in tiles:
            found[tile.rows, tile.columns] = tile.outputs["classes"]
    return found


async def test_a_file_and_strips_get_what_the_whole_picture_gets(
    serve: Any, tmp_path: Path
) -> None:
    path = tmp_path / "picture.png"
    Image.fromarray(PIXELS).save(path)
    strips = Strips((140, 90), 3, (PIXELS[top : top + 9] for top in range(0, 140, 9)))

    def ask(port: int) -> tuple[NDArray[Any], ...]:
        with Client(f"127.0.0.1:{port}") as client:
            whole = client.predict(PIXELS, model="unet").outputs["classes"]
            return classes(client, path), classes(client, strips), whole

    async with serve("unet", **TILED) as served:
        of_file, of_strips, whole = await asyncio.to_thread(ask, served.server.port)
    np.testing.assert_array_equal(of_file, whole)
    np.testing.assert_array_equal(of_strips, whole)


async def test_a_refusal_is_the_clients_own_error(serve: Any, tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(b"no picture")

    def ask(port: int) -> str:
        with Client(f"127.0.0.1:{port}") as client:
            with pytest.raises(InvalidRequest, match="cannot read"):
                client.predict_tiles(tmp_path / "nothing.png", model="unet")
            with (
                client.predict_tiles(path, model="unet") as tiles,
                pytest.raises(InvalidRequest) as caught,
            ):
                list(tiles)
            return str(caught.value)

    async with serve("unet") as served:
        assert "no image that can be read" in await asyncio.to_thread(ask, served.server.port)


@pytest.mark.slow
def test_what_a_server_holds_does_not_grow_with_the_height(models: Path, save_model: Any) -> None:
    """Of the second picture, four times as high, 90 MB more are sent, and not held."""
    save_model("identity")
    held = {}
    for height in (2500, 10_000):
        with _process(models) as (pid, port), Client(f"127.0.0.1:{port}") as client:
            client.wait_ready()
            strips = Strips((height, 4000), 3, _wash(height, 4000))
            with client.predict_tiles(strips, model="identity") as tiles:
                assert sum(tile.outputs["classes"].size for tile in tiles) == height * 4000
            held[height] = _peak(pid)
    assert held[10_000] - held[2500] < 40 * 2**20, held


def test_the_table_of_limits_is_that_of_the_settings(models: Path) -> None:
    documented = set(re.findall(r"^\| `uploads\.(\w+)`", PAGE.read_text("utf-8"), re.MULTILINE))
    assert documented == set(type(Settings(models=models).uploads).model_fields)


async def test_the_page_runs_as_it_stands_there(
    serve: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(PIXELS).save("scan.tif")
    snippets = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert len(snippets) == 2
    async with serve("unet", **TILED) as served:
        for snippet in snippets:
            code = snippet.replace("localhost:8001", f"127.0.0.1:{served.server.port}")
            code = code.replace("climate_unet", "unet")
            await asyncio.to_thread(exec, compile(code, str(PAGE), "exec"), {})
    assert np.load("classes.npy").shape == (140, 90)


def _wash(height: int, width: int) -> Iterator[NDArray[np.uint8]]:
    strip = np.random.default_rng(0).integers(0, 256, (100, width, 3), np.uint8)
    for _ in range(0, height, 100):
        yield strip


@contextmanager
def _process(models: Path) -> Iterator[tuple[int, int]]:
    """A server in a process of its own: its number, and its port."""
    told = {"PORT": "0", "MEMORY_BUDGET": "128MiB", "REPOSITORY_WARM_UP_S": "0"}
    told |= {"MEMORY_WHOLE_IMAGE": "16MiB", "MEMORY_TILE": "8MiB", "COMPUTE_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "anyres_client.main", "serve", str(models)],
        env=os.environ | {f"ANYRES_{name}": value for name, value in told.items()},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield process.pid, int(process.stdout.readline().rpartition(":")[2])
    finally:
        process.terminate()
        process.wait(30)
        process.stdout.close()


def _peak(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text("ascii").splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024
