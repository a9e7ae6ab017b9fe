"""Seven photos, and a batch over them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.client.jobs.outputs import WIDTHS

from anyres_client.main import main


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Seven photos; the red of 5.png's columns is 0, 128, 255, 0, 128: classes 0, 1, 2, 0, 1."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for width in WIDTHS:
        pixels = np.zeros((4, width, 3), np.uint8)
        pixels[:, :, 0] = np.array([0, 128, 255])[np.arange(width) % 3]
        Image.fromarray(pixels).save(folder / f"{width}.png")
    return folder


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def words(photos: Path, out: Path, fake: Any) -> list[str]:
    return ["batch", str(photos), "--out", str(out), "--model", "zones", "--server", fake.address]


@pytest.fixture
def batch(words: list[str], capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*options: object) -> tuple[int, str]:
        code = main([*words, *map(str, options)])
        return code, capsys.readouterr().err

    return run
