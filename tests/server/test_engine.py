"""ONNX Runtime behind its one door: what it says of a file, and what is left of its errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest

from anyres_server.engine.session import Engine, open_engine
from anyres_server.errors import InferenceFailed, ModelBroken


def opened(folder: Path, graph: str) -> Engine:
    path = folder / "net.onnx"
    onnx.save(onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]> {graph}'), path)
    return open_engine(path, threads=1)


def test_a_network_runs_and_tells_whether_it_takes_several_images(tmp_path: Path) -> None:
    free = opened(tmp_path, "g (float[N,1,H,W] x) => (float[N,1,H,W] y) { y = Add (x, x) }")
    ones = np.ones((2, 1, 3, 4), np.float32)
    assert (free(ones, ["y"])[0] == 2 * ones).all()
    assert free.batches
    assert not opened(
        tmp_path, "g (float[1,1,H,W] x) => (float[1,1,H,W] y) { y = Add (x, x) }"
    ).batches


def test_what_a_file_says_about_itself_is_read(save_model: Any) -> None:
    engine = open_engine(save_model("grey", description="a test"), threads=1)
    assert "a test" in engine.metadata["anyres.card"]


def test_an_error_of_the_runtime_keeps_its_words_to_the_log(
    save_model: Any, caplog: pytest.LogCaptureFixture
) -> None:
    engine = open_engine(save_model("head"), threads=1)
    with pytest.raises(InferenceFailed) as caught:
        engine(np.zeros((1, 3, 64, 64), np.float32), ["y"])
    assert "1x3x64x64" in str(caught.value)
    assert "Gemm" not in str(caught.value)
    assert "Gemm" in caplog.text


def test_a_network_that_mixes_images_up_is_caught(tmp_path: Path) -> None:
    """`view(1, -1)` in the model: two images come out as one row, without an error."""
    engine = opened(tmp_path, "g (float[N,1,H,W] x) => (float[P,Q] y) { y = Flatten <axis=0> (x) }")
    with pytest.raises(InferenceFailed, match="1 answers for 2 images"):
        engine(np.zeros((2, 1, 3, 3), np.float32), ["y"])


def test_a_file_that_is_no_network_is_broken_and_says_so_without_its_place(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(b"not a network")
    with pytest.raises(ModelBroken) as caught:
        open_engine(path, threads=1)
    assert "net.onnx" in str(caught.value)
    assert str(tmp_path) not in str(caught.value)


async def test_a_server_whose_threads_spin_says_the_same(serve: Any, png: Any) -> None:
    image = png(np.random.default_rng(0).integers(0, 256, (32, 48, 3), np.uint8))
    said = []
    for spin in (True, False):
        async with serve("unet", compute_threads=2, compute_spin=spin) as served:
            said.append((await served.predict("unet", image)).outputs)
    assert said[0] == said[1]
