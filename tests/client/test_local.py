"""`--local`: a model answers in this process as a server would, and is gone when it is left."""

from __future__ import annotations

import asyncio
import threading
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator
from PIL import Image
from tests.server.conftest import save

from anyres_client import AsyncClient, Client
from anyres_client.connection import Connection
from anyres_client.errors import DeadlineExceeded, InvalidRequest, ModelNotFound, Overloaded
from anyres_client.local import GROUP, local_connection
from anyres_client.main import main

PIXELS = np.random.default_rng(3).integers(0, 256, (24, 40, 3), np.uint8)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    return save(folder, "unet")


@pytest.fixture
def connection(model: Path) -> Connection:
    return local_connection(model)


def expected(model: Path, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The logits, by onnx's own evaluator."""
    images = (pixels.transpose(2, 0, 1)[None] / np.float32(255)).astype(np.float32)
    evaluator = ReferenceEvaluator(onnx.load(model))
    (found,) = evaluator.run(None, {"x": images})
    return np.asarray(found[0])


def test_a_file_answers_as_the_network_in_it(model: Path, connection: Connection) -> None:
    with Client(connection) as client:
        prediction = client.predict(PIXELS, output=["logits", "classes"])
    logits = expected(model, PIXELS)
    np.testing.assert_allclose(prediction.logits, logits, atol=1e-4)
    np.testing.assert_array_equal(prediction.classes, logits.argmax(0))
    assert (prediction.model, prediction.route) == ("unet", "whole")


def test_settings_of_the_environment_hold_and_tiles_equal_the_whole_image(
    model: Path, connection: Connection, monkeypatch: Any
) -> None:
    monkeypatch.setenv("ANYRES_MEMORY_TILE", "60000")
    monkeypatch.setenv("ANYRES_MEMORY_WHOLE_IMAGE", "60000")
    with Client(connection) as client:
        prediction = client.predict(PIXELS, output="logits")
        assert client.estimate("unet", PIXELS.shape[:2]).pieces == prediction.pieces
    assert prediction.route == "tiled"
    assert prediction.pieces > 1
    np.testing.assert_allclose(prediction.logits, expected(model, PIXELS), atol=1e-4)


def test_many_pictures_at_once_are_each_answered(model: Path, connection: Connection) -> None:
    pictures = [np.roll(PIXELS, step, axis=1) for step in range(12)]
    with Client(connection) as client:
        answers = list(client.predict_many(pictures, model="unet", output="logits", in_flight=4))
    for picture, answer in zip(pictures, answers, strict=True):
        np.testing.assert_allclose(answer.prediction.logits, expected(model, picture), atol=1e-4)


def test_a_picture_is_sent_in_parts_and_its_tiles_come_back(
    tmp_path: Path, model: Path, connection: Connection
) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "photo.png")
    pasted = np.zeros((3, *PIXELS.shape[:2]), np.float32)
    with (
        Client(connection) as client,
        client.predict_tiles(tmp_path / "photo.png", model="unet", output="logits") as tiles,
    ):
        for tile in tiles:
            pasted[:, tile.rows, tile.columns] = tile.outputs["logits"]
    np.testing.assert_allclose(pasted, expected(model, PIXELS), atol=1e-4)


def test_a_stream_that_is_left_early_ends(
    tmp_path: Path, connection: Connection, monkeypatch: Any
) -> None:
    monkeypatch.setenv("ANYRES_MEMORY_TILE", "60000")
    monkeypatch.setenv("ANYRES_MEMORY_WHOLE_IMAGE", "60000")
    Image.fromarray(np.tile(PIXELS, (4, 4, 1))).save(tmp_path / "photo.png")
    with Client(connection) as client:
        with client.predict_tiles(tmp_path / "photo.png", model="unet") as tiles:
            assert tiles.plan.pieces > 8
            next(iter(tiles))
        assert client.predict(PIXELS).route


async def test_the_asyncio_client_does_the_same(model: Path, connection: Connection) -> None:
    async with AsyncClient(connection) as client:
        await client.wait_ready()
        both = await asyncio.gather(*(client.predict(PIXELS, output="logits") for _ in range(2)))
        assert [model.name for model in await client.models()] == ["unet"]
    for prediction in both:
        np.testing.assert_allclose(prediction.logits, expected(model, PIXELS), atol=1e-4)


def test_errors_are_those_of_a_server(connection: Connection) -> None:
    with Client(connection) as client:
        with pytest.raises(InvalidRequest, match="no image that can be read"):
            client.predict(b"no picture")
        with pytest.raises(ModelNotFound, match="no model 'other'"):
            client.predict(PIXELS, model="other")
        with pytest.raises(InvalidRequest, match="takes"):
            client.predict(PIXELS[:5, :5])
        with pytest.raises(DeadlineExceeded):
            client.predict(np.zeros((2000, 2000, 3), np.uint8), model="unet", timeout=1e-4)


def test_what_does_not_fit_is_refused_with_its_reason(
    connection: Connection, monkeypatch: Any
) -> None:
    monkeypatch.setenv("ANYRES_MEMORY_BUDGET", str(2**20))
    with Client(connection) as client, pytest.raises(Overloaded, match="memory"):
        client.predict(np.zeros((2000, 2000, 3), np.uint8))


def test_no_thread_is_left_behind(connection: Connection) -> None:
    before = set(threading.enumerate())
    for _ in range(2):
        with Client(connection) as client:
            client.predict(PIXELS)
    left = {thread.name for thread in set(threading.enumerate()) - before}
    assert not {name for name in left if not name.startswith("asyncio")}


def test_a_file_that_is_not_there_or_no_model_and_a_wrong_setting_are_told(
    tmp_path: Path, connection: Connection, monkeypatch: Any
) -> None:
    with pytest.raises(InvalidRequest, match=r"there is no file or folder .*nowhere\.onnx"):
        Client(local_connection(tmp_path / "nowhere.onnx")).models()
    (tmp_path / "photo.png").write_bytes(b"")
    with pytest.raises(InvalidRequest, match=r"takes an \.onnx file.* got photo\.png"):
        Client(local_connection(tmp_path / "photo.png")).models()
    monkeypatch.setenv("ANYRES_COMPUTE_THREADS", "many")
    with pytest.raises(InvalidRequest, match=r"ANYRES_COMPUTE_THREADS: compute\.threads: expected"):
        Client(connection).models()


def test_a_broken_file_is_told_when_it_is_asked(tmp_path: Path) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"no")
    with Client(local_connection(tmp_path / "broken.onnx")) as client:
        assert "is not an ONNX model" in client.models()[0].reason
        with pytest.raises(ModelNotFound, match="is not an ONNX model"):
            client.predict(PIXELS, model="broken")


def test_what_is_not_installed_is_named(monkeypatch: Any) -> None:
    monkeypatch.setattr("anyres_client.local.entry_points", lambda group: [])
    with pytest.raises(InvalidRequest, match=r"pip install 'anyres\[server\]'"):
        local_connection("m.onnx")
    lacking = EntryPoint("server", "anyres_server.no_such_room:local", GROUP)
    monkeypatch.setattr("anyres_client.local.entry_points", lambda group: [lacking])
    with pytest.raises(InvalidRequest, match=r"pip install 'anyres\[server\]'"):
        local_connection("m.onnx")


def test_commands_need_no_server(tmp_path: Path, model: Path, capsys: Any) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in ("a.png", "b.png"):
        Image.fromarray(PIXELS).save(photos / name)
    classes = expected(model, PIXELS).argmax(0)
    saved, out = tmp_path / "a.npy", tmp_path / "out"
    here = ("--local", str(model))
    assert main(["predict", str(photos / "a.png"), "--save", str(saved), *here]) == 0
    np.testing.assert_array_equal(np.load(saved), classes)
    assert main(["models", *here]) == 0
    assert "unet" in capsys.readouterr().out
    assert main(["estimate", "40x24", "--model", "unet", *here]) == 0
    assert main(["batch", str(photos), "--out", str(out), *here]) == 0
    for name in ("a", "b"):
        (found,) = out.rglob(f"{name}*.png")
        np.testing.assert_array_equal(np.asarray(Image.open(found)), classes)
