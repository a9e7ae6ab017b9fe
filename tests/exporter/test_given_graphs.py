"""A graph that somebody gave is exported too: its axes opened where that is sound, or refused.

The oracle is the graph as it was given, in ONNX Runtime, and the network of which it was made.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from anyres_client.main import main  # noqa: E402
from anyres_exporter.card.stamp import card_text  # noqa: E402
from anyres_proto.card import Card  # noqa: E402

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def anyres(capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*words: str | Path) -> tuple[int, str]:
        code = main([str(word) for word in words])
        captured = capsys.readouterr()
        return code, captured.out + captured.err

    return run


def pinned(path: Path, *sizes: int) -> Path:
    """A copy whose image is declared (n, c, h, w) of these sizes, as many exporters do."""
    model = onnx.load(path)
    for dim, size in zip(model.graph.input[0].type.tensor_type.shape.dim, sizes, strict=True):
        dim.dim_value = size
    copy = path.with_name("pinned.onnx")
    onnx.save(onnx.shape_inference.infer_shapes(model), copy)
    return copy


def answer(path: Path, image: NDArray[Any]) -> NDArray[Any]:
    session = ort.InferenceSession(path)
    found: NDArray[Any] = session.run(None, {session.get_inputs()[0].name: image})[0]
    return found


def card_of(path: Path) -> Card:
    return Card.model_validate_json(card_text(path) or "")


def test_a_pinned_network_that_is_convolutional_is_opened(
    foreign: Any, anyres: Run, tmp_path: Path
) -> None:
    free = foreign("unet")
    code, said = anyres("export", pinned(free, 1, 3, 32, 48), "--out", tmp_path / "out")
    assert code == 0, said
    opened = tmp_path / "out" / "pinned.onnx"
    card = card_of(opened)
    assert (card.sizes.height.verdict, card.sizes.height.step) == ("stepped", 2)
    assert [(proof.height, proof.width) for proof in card.proofs] == [(32, 48)]
    image = np.random.default_rng(0).standard_normal((3, 3, 66, 90), np.float32)
    np.testing.assert_allclose(answer(opened, image), answer(free, image), atol=1e-5)


def test_opened_and_padded_it_takes_any_size(foreign: Any, anyres: Run, tmp_path: Path) -> None:
    given = pinned(foreign("unet"), 1, 3, 32, 48)
    code, said = anyres("export", given, "--any-size", "edge", "--out", tmp_path / "out")
    assert code == 0, said
    opened = tmp_path / "out" / "pinned.onnx"
    assert card_of(opened).sizes.height.verdict == "free"
    assert answer(opened, np.zeros((1, 3, 31, 33), np.float32)).shape == (1, 2, 31, 33)


def test_an_open_network_is_proven_against_itself_at_many_sizes(
    foreign: Any, anyres: Run, tmp_path: Path
) -> None:
    code, said = anyres("export", foreign("valid"), "--out", tmp_path / "out", "--name", "net")
    assert code == 0, said
    card = card_of(tmp_path / "out" / "net.onnx")
    assert {proof.batch for proof in card.proofs} == {1, 3}
    assert len({(proof.height, proof.width) for proof in card.proofs}) > 5
    assert card.provenance["graph_sha256"]


def test_an_fc_head_is_refused_open_and_taken_as_it_is(
    foreign: Any, anyres: Run, tmp_path: Path
) -> None:
    head = pinned(foreign("head"), 1, 3, 8, 8)
    code, said = anyres("export", head, "--out", tmp_path / "out")
    assert code == 2
    assert "cannot be dynamic" in said
    assert said.count("\n") == 1
    assert not list((tmp_path / "out").glob("*.onnx"))
    code, said = anyres("export", head, "--fixed", "--out", tmp_path / "out")
    assert code == 0, said
    assert card_of(tmp_path / "out" / "pinned.onnx").sizes.height.verdict == "fixed"


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--weights", "w.pth"], "a graph is made already; it takes no weights"),
        (["--arg", "classes=3"], "a graph is made already; it takes no arguments"),
        (["--arg", "classes"], "--arg takes key=value"),
        (["--size", "224"], "write WIDTHxHEIGHT"),
        (["--mean", "0.5,0.5"], "mean and std need 3 values"),
        (["--any-size", "mirror"], "any_size"),
    ],
)
def test_an_option_that_says_nothing_here_is_one_line(
    foreign: Any, anyres: Run, tmp_path: Path, words: list[str], complaint: str
) -> None:
    code, said = anyres("export", foreign("unet"), "--out", tmp_path / "out", *words)
    assert code == 2
    assert complaint in said
    assert said.count("\n") == 1


def test_a_card_is_taken_over_and_gives_way_to_what_is_said(
    foreign: Any, anyres: Run, tmp_path: Path
) -> None:
    path = foreign("unet")
    assert anyres("card", "stamp", path, "--task", "segmentation", "--mean", "1,2,3")[0] == 0
    code, said = anyres("export", path, "--out", tmp_path / "out", "--std", "4,5,6")
    assert code == 0, said
    card = card_of(tmp_path / "out" / "unet.onnx")
    assert (card.task, card.input.mean, card.input.std) == ("segmentation", (1, 2, 3), (4, 5, 6))


def test_a_graph_of_bytes_is_exported_again_as_it_is(
    foreign: Any, anyres: Run, tmp_path: Path
) -> None:
    code, said = anyres(
        *("export", foreign("unet"), "--bytes", "--answer", "argmax", "--name", "bytes"),
        *("--out", tmp_path),
    )
    assert code == 0, said
    code, said = anyres(
        *("export", tmp_path / "bytes.onnx", "--opset", "15", "--name", "again"),
        *("--out", tmp_path),
    )
    assert code == 0, said
    first, again = card_of(tmp_path / "bytes.onnx"), card_of(tmp_path / "again.onnx")
    assert (again.sizes, again.input, again.outputs) == (first.sizes, first.input, first.outputs)
    image = np.random.default_rng(0).integers(0, 256, (2, 34, 50, 3), np.uint8)
    before, after = (answer(tmp_path / name, image) for name in ("bytes.onnx", "again.onnx"))
    assert before.dtype == np.uint8
    np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--opset", "99"], "there is no opset 99 yet; the newest known here is"),
        (["--precision", "int8"], "name a folder (--calibration DIR)"),
        (["--weights-fp16", "--calibration", "nowhere"], "nowhere is no folder"),
        (["--answer", "top_k", "--top-k", "9"], "top-k of 9: 'scores' has 2 channels"),
    ],
)
def test_a_mistake_is_found_before_anything_is_written(
    foreign: Any, anyres: Run, tmp_path: Path, words: list[str], complaint: str
) -> None:
    code, said = anyres("export", foreign("unet"), "--out", tmp_path / "out", *words)
    assert (code, said.count("\n")) == (2, 1)
    assert complaint in said
    assert not list((tmp_path / "out").glob("*.onnx"))
