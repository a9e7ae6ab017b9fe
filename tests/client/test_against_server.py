"""The client against the real server, with a network that is small enough to work out by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from anyres_client import AsyncClient, Client, InvalidRequest, ModelNotFound

onnx = pytest.importorskip("onnx")
server_main = pytest.importorskip("anyres_server.main")

# Three classes: logit c is channel c of the pixel, so the class is the brightest colour.
BRIGHTEST = """
<ir_version: 8, opset_import: ["" : 17]>
brightest (float[N,3,H,W] x) => (float[N,3,H,W] y) { y = Identity (x) }
"""


@pytest.fixture
async def address(tmp_path: Path) -> AsyncIterator[str]:
    from anyres_server.settings.settings import Settings

    models = tmp_path / "models"
    models.mkdir()
    onnx.save(onnx.parser.parse_model(BRIGHTEST), models / "brightest.onnx")
    (models / "torn.onnx").write_bytes(b"no network")
    async with server_main.running_server(
        Settings.model_validate({"models": models, "port": 0, "compute": {"threads": 1}})
    ) as server:
        yield f"127.0.0.1:{server.port}"


@pytest.fixture
def pixels() -> Any:
    return np.random.default_rng(3).integers(0, 256, (7, 11, 3), np.uint8)


def blocking(address: str, work: Callable[[Client], Any]) -> Any:
    """What the blocking client says, asked from beside the loop that serves."""

    def run() -> Any:
        with Client(address) as client:
            return work(client)

    return asyncio.to_thread(run)


async def test_the_brightest_colour_wins_by_either_client(address: str, pixels: Any) -> None:
    expected = pixels.argmax(axis=2)
    async with AsyncClient(address) as client:
        await client.wait_ready(10)
        awaited = await client.predict(pixels, model="brightest")
    waited = await blocking(address, lambda client: client.predict(pixels, model="brightest"))
    assert (awaited.classes == expected).all()
    assert (waited.classes == expected).all()
    assert (awaited.route, awaited.pieces) == ("whole", 1)


async def test_a_file_and_its_pixels_say_the_same(address: str, pixels: Any) -> None:
    file = BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    async with AsyncClient(address) as client:
        one = await client.predict(file.getvalue(), model="brightest", output="logits")
        other = await client.predict(Image.fromarray(pixels), model="brightest", output="logits")
    assert (one.logits == other.logits).all()


async def test_float_input_goes_into_the_network_as_it_is(address: str) -> None:
    values = np.random.default_rng(4).normal(size=(3, 5, 6)).astype(np.float32)
    async with AsyncClient(address) as client:
        got = await client.predict(values, model="brightest", output=["logits", "top_k"], top_k=2)
    assert (got.logits == values).all()
    assert (got.top_k.classes == np.argsort(-values, axis=0)[:2]).all()


async def test_a_picture_lying_on_its_side_is_answered_upright(address: str, pixels: Any) -> None:
    file, image = BytesIO(), Image.fromarray(pixels)
    image.getexif()[0x0112] = 6
    image.save(file, "PNG", exif=image.getexif())
    async with AsyncClient(address) as client:
        got = await client.predict(
            file.getvalue(), model="brightest", output=["classes", "probabilities"]
        )
    assert (got.classes == np.rot90(pixels.argmax(axis=2), -1)).all()
    assert got.overlay(file.getvalue(), legend=False).size == (7, 11)


async def test_what_did_not_load_is_listed_and_the_only_ready_model_needs_no_name(
    address: str, pixels: Any
) -> None:
    async with AsyncClient(address) as client:
        states = {model.name: model.ready for model in await client.models()}
        prediction = await client.predict(pixels)
    assert states == {"brightest": True, "torn": False}
    assert prediction.model == "brightest"


async def test_refusals_arrive_as_what_one_can_do(address: str, pixels: Any) -> None:
    async with AsyncClient(address) as client:
        with pytest.raises(ModelNotFound, match="brightest"):
            await client.predict(pixels, model="nobody")
        with pytest.raises(ModelNotFound, match="torn"):
            await client.predict(pixels, model="torn")
        with pytest.raises(InvalidRequest):
            await client.predict(b"no image", model="brightest")
        with pytest.raises(InvalidRequest, match=r"\(height, width, 3\)"):
            await client.predict(pixels[..., :2], model="brightest")


async def test_an_estimate_has_the_grid_of_the_answer(address: str) -> None:
    async with AsyncClient(address) as client:
        estimate = await client.estimate("brightest", (7, 11))
    assert (estimate.route, estimate.grid_size) == ("whole", (7, 11))
