"""`predict_huge`: what the tiles say is in the file, each cell in its place, or nothing is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.client.test_local import expected
from tests.server.conftest import save

from anyres_client import Client
from anyres_client.errors import InvalidRequest
from anyres_client.local import local_connection
from anyres_client.main import main

PIXELS = np.random.default_rng(5).integers(0, 256, (96, 160, 3), np.uint8)


@pytest.fixture
def model(tmp_path: Path, monkeypatch: Any) -> Path:
    """Of which no picture here goes in one piece."""
    monkeypatch.setenv("ANYRES_MEMORY_TILE", "60000")
    monkeypatch.setenv("ANYRES_MEMORY_WHOLE_IMAGE", "60000")
    folder = tmp_path / "models"
    folder.mkdir()
    return save(folder, "unet")


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    path = tmp_path / "scan.png"
    Image.fromarray(PIXELS).save(path)
    return path


def test_the_file_holds_what_the_whole_picture_gives(model: Path, scan: Path) -> None:
    target, steps = scan.with_name("logits.npy"), []
    with Client(local_connection(model)) as client:
        plan = client.predict_huge(
            scan, target, model="unet", output="logits", told=lambda *cells: steps.append(cells)
        )
    assert plan.pieces > 1
    assert steps[-1] == (96 * 160, 96 * 160)
    np.testing.assert_allclose(np.load(target), expected(model, PIXELS), atol=1e-4)


def test_the_command_saves_classes_and_says_so(model: Path, scan: Path, capsys: Any) -> None:
    target = scan.with_name("classes.npy")
    here = ("--local", str(model), "--model", "unet", "--save", str(target))
    assert main(["predict", str(scan), "--huge", "--json", *here]) == 0
    assert json.loads(capsys.readouterr().out)["image_size"] == [96, 160]
    np.testing.assert_array_equal(np.load(target), expected(model, PIXELS).argmax(0))


@pytest.mark.parametrize(("name", "output"), [("a.png", "classes"), ("a.npy", "top_k")])
def test_what_no_npy_holds_is_refused(name: str, output: str, model: Path, scan: Path) -> None:
    with Client(local_connection(model)) as client, pytest.raises(InvalidRequest):
        client.predict_huge(scan, scan.with_name(name), model="unet", output=output)


def test_a_picture_that_breaks_off_leaves_no_file(model: Path, scan: Path) -> None:
    scan.write_bytes(scan.read_bytes()[:9000])
    before = set(scan.parent.iterdir())
    with Client(local_connection(model)) as client, pytest.raises(InvalidRequest):
        client.predict_huge(scan, scan.with_name("a.npy"), model="unet")
    assert set(scan.parent.iterdir()) == before
