"""`anyres evaluate` as people call it: what is printed and written, and mistakes in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
from PIL import Image
from tests.exporter.labelled import Data, network

from anyres_client.main import main
from anyres_proto.card import METADATA_KEY


@pytest.fixture
def data(tmp_path: Path) -> Data:
    return Data(tmp_path)


@pytest.fixture
def anyres(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """`anyres(model, ...)`: exit code, stdout, stderr."""
    monkeypatch.setenv("COLUMNS", "120")

    def run(*words: object) -> tuple[int, str, str]:
        code = main(["evaluate", *map(str, words)])
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


def test_json_the_table_and_the_files_say_the_same(data: Data, tmp_path: Path, anyres: Any) -> None:
    model = network(tmp_path, "stride4")
    data.random("a", 21, 34)
    words = model, "--images", data.images, "--labels", data.labels
    code, text, _ = anyres(*words, "--out", tmp_path / "out")
    assert code == 0
    code, told, _ = anyres(*words, "--json")
    numbers = json.loads(told)
    written = json.loads((tmp_path / "out/evaluation.json").read_text("utf-8"))
    for found in (numbers, written):
        assert found.pop("coverage")["compared"] == 21 * 34 - 17
    assert numbers == written
    shown = {"pixel accuracy": "pixel_accuracy", "mean IU": "mean_iu", "mean accuracy": None}
    for row, key in shown.items():
        assert f"{numbers[key or 'mean_accuracy'] * 100:.2f} %" in text.partition(row)[2][:40]
    assert f"{numbers['frequency_weighted_iu'] * 100:.2f} %" in text
    assert [one["name"] for one in numbers["classes"]] == ["red", "green", "blue"]
    assert np.array(numbers["confusion"]).sum() == 21 * 34 - 17
    with Image.open(tmp_path / "out/confusion.png") as picture:
        assert picture.mode == "RGB"


def unlabelled(data: Data) -> None:
    (data.labels / "a.png").unlink()


def misfit(data: Data) -> None:
    data.label("a", np.zeros((4, 4)))


def unknown(data: Data) -> None:
    data.label("a", np.full((8, 8), 3))


def odd_sized(data: Data) -> None:
    data.picture("a", 9, 8)
    data.label("a", np.zeros((9, 8)))


def broken(data: Data) -> None:
    (data.images / "a.png").write_bytes(b"x")


@pytest.mark.parametrize(
    ("spoil", "line"),
    [
        (unlabelled, "images/a.png has no label in"),
        (misfit, "labels/a.png is 4x4; its picture is 8x8"),
        (unknown, "labels/a.png has class 3 in 64 pixels; the model knows 0 to 2"),
        (odd_sized, "images/a.png: 'unet' does not take 8x9; it takes a height of 2, 4, 6"),
        (odd_sized, "anyres export --any-size edge"),
        (broken, "images/a.png cannot be opened"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_file(
    spoil: Any, line: str, data: Data, tmp_path: Path, anyres: Any
) -> None:
    data.random("a", 8, 8)
    spoil(data)
    model = network(tmp_path, "unet")
    code, out, told = anyres(model, "--images", data.images, "--labels", data.labels)
    assert (code, out) == (2, "")
    assert line in told
    assert told.count("\n") == 1


def test_a_head_of_fixed_size_says_what_would_free_it(
    data: Data, tmp_path: Path, anyres: Any
) -> None:
    data.picture("a", 8, 8)
    (tmp_path / "l.csv").write_text("a,red\n")
    model = network(tmp_path, "fixed")
    code, _, told = anyres(model, "--images", data.images, "--labels", tmp_path / "l.csv")
    assert code == 2
    assert "takes a height of 6" in told
    assert "convolutionalize" in told


def test_pictures_without_a_label_are_left_out_where_asked_and_said(
    data: Data, tmp_path: Path, anyres: Any
) -> None:
    for name in "abc":
        data.random(name, 8, 8)
    (data.labels / "b.png").unlink()
    data.label("z", np.zeros((8, 8)))
    words = network(tmp_path, "unet"), "--images", data.images, "--labels", data.labels
    assert anyres(*words)[0] == 2
    code, text, _ = anyres(*words, "--skip-unlabelled")
    assert code == 0
    assert "segmentation of 2 pictures" in text
    assert "1 picture without a label left out" in text
    assert "1 label without a picture" in text
    assert "segmentation of 1 picture," in anyres(*words, "--skip-unlabelled", "--limit", 1)[1]


def test_a_class_in_no_label_is_said_to_be_left_out_of_the_mean(
    data: Data, tmp_path: Path, anyres: Any
) -> None:
    labels = data.picture("a", 20, 20).argmax(axis=2)
    data.label("a", np.where(labels == 2, 255, labels))
    words = network(tmp_path, "brightest"), "--images", data.images, "--labels", data.labels
    _, text, _ = anyres(*words)
    assert "over 2 of 3 classes" in text
    assert "1 class in no label: no accuracy and no IU" in text


def test_what_a_card_assumes_is_told(data: Data, tmp_path: Path, anyres: Any) -> None:
    data.random("a", 8, 8)
    path = network(tmp_path, "unet")
    model = onnx.load(path)
    del model.metadata_props[:]
    path.write_bytes(model.SerializeToString())
    _, text, _ = anyres(
        path, "--images", data.images, "--labels", data.labels, "--task", "segmentation"
    )
    assert "the file has no card" in text
    assert "assumed, and the numbers are wrong if that is: input.colour" in text


def test_a_card_of_another_version_is_named(data: Data, tmp_path: Path, anyres: Any) -> None:
    data.random("a", 8, 8)
    path = network(tmp_path, "unet")
    model = onnx.load(path)
    onnx.helper.set_model_props(model, {METADATA_KEY: '{"name": "old"}'})
    path.write_bytes(model.SerializeToString())
    code, _, told = anyres(path, "--images", data.images, "--labels", data.labels)
    assert code == 2
    assert "is of another version of anyres" in told
