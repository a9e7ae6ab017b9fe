"""`make demo`'s program: the table it prints and the page it writes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def test_the_demo_prints_its_table_and_writes_its_page(
    address: str, assets: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "demo", "--models", "out/models", "--assets", str(assets)]
    done = subprocess.run(
        [*command, "--out", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for expected in ("Egyptian cat", "espresso", "15x10", "19x13", "5400x2700", "tiled", "refused"):
        assert expected in done.stdout
    page = (tmp_path / "index.html").read_text()
    overlays = sorted(tmp_path.glob("*.png"))
    assert len(overlays) == 5  # three heat maps, a class map, and the same in colours
    for overlay in overlays:
        with Image.open(overlay) as picture:
            picture.verify()
    assert all(path.name in page for path in overlays if "classes" not in path.name)
