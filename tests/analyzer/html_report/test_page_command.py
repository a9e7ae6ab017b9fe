"""What `--html` and `--image` answer to a wrong call."""

from __future__ import annotations

import sys
from pathlib import Path

import onnx
import pytest
from PIL import Image
from tests.analyzer.html_report.models import STRIDED, U_NET, model

from anyres_client.main import main


@pytest.mark.parametrize(
    ("options", "answer"),
    [
        (["--image", "photo.png"], "--image is for the page: give --html PATH too"),
        (["--html", "p.html", "--image", "no.png"], "no.png: No such file or directory"),
        (["--html", "p.html", "--image", "net.onnx"], "net.onnx is no picture that can be read"),
        (["--html", "p.html", "--image", "dot.png"], "dot.png is 1x1; the smallest image"),
        (["--html", "no/p.html"], "no/p.html: No such file or directory"),
        (["--html", "p.html", "--as", "thop"], "--as has no page"),
    ],
)
def test_what_cannot_be_drawn_gets_one_line(
    options: list[str],
    answer: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    onnx.save(model(U_NET), "net.onnx")
    Image.new("RGB", (1, 1)).save("dot.png")
    assert main(["analyze", "net.onnx", *options]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert answer in line


def test_without_the_extra_one_line_says_how_to_get_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    onnx.save(model(STRIDED), tmp_path / "net.onnx")
    monkeypatch.delitem(sys.modules, "anyres_analyzer.report.page.page", raising=False)
    monkeypatch.setitem(sys.modules, "jinja2", None)
    written = tmp_path / "page.html"
    assert main(["analyze", str(tmp_path / "net.onnx"), "--html", str(written)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("pip install 'anyres[report]'")
