"""`anyres evaluate` on pictures that have one label each: top-1 and top-5 accuracy."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest
from PIL import Image
from tests.exporter.labelled import Data, network

from anyres_exporter.card.compose import Told
from anyres_exporter.card.stamp import stamp
from anyres_exporter.evaluate.evaluation import Request, evaluate
from anyres_exporter.evaluate.report import Report


@pytest.fixture
def data(tmp_path: Path) -> Data:
    return Data(tmp_path)


def counts(report: Report) -> list[list[int]]:
    found: list[list[int]] = report.result.counts.tolist()  # type: ignore[union-attr]
    return found


def tinted(data: Data, name: str, channel: int) -> None:
    pixels = data.picture(name, 6, 8) // 4
    pixels[..., channel] += 150
    (data.images / name).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(data.images / f"{name}.png")


def test_a_table_of_classes_gives_top_1_accuracy(data: Data, tmp_path: Path) -> None:
    for name, channel in (("a", 0), ("b", 1), ("c", 2), ("d", 2)):
        tinted(data, name, channel)
    table = tmp_path / "classes.csv"
    table.write_text("image,class\na,red\nb.png,1\nc,blue\nd,green\n")
    report = evaluate(network(tmp_path, "head"), replace(data.request(), labels=table))
    assert counts(report) == [[1, 0, 0], [0, 1, 1], [0, 0, 1]]
    assert report.result.top1 == 0.75  # type: ignore[union-attr]
    assert report.result.top5 is None  # type: ignore[union-attr]


def test_folders_are_classes_and_a_map_of_scores_is_averaged(data: Data, tmp_path: Path) -> None:
    for folder, name, channel in (("red", "a", 0), ("2", "b", 2)):
        tinted(data, name, channel)
        (data.images / folder).mkdir()
        (data.images / f"{name}.png").rename(data.images / folder / f"{name}.png")
    model = network(tmp_path, "brightest")
    report = evaluate(model, Request(data.images, task="classification"))
    assert counts(report) == [[1, 0, 0], [0, 0, 0], [0, 0, 1]]


def test_top_5_counts_the_first_five(data: Data, tmp_path: Path) -> None:
    """Eight classes of falling scores: class 4 is the fifth, class 5 is not."""
    model = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["" : 17]>
        net (float[N,3,H,W] image) => (float[N,8] scores)
        { g = GlobalAveragePool (image)
          f = Flatten (g)
          scores = Gemm (f, w, b) }"""
    )
    for name, values in (("w", np.zeros((3, 8))), ("b", -np.arange(8.0))):
        model.graph.initializer.append(
            onnx.numpy_helper.from_array(values.astype(np.float32), name)
        )
    path = tmp_path / "falling.onnx"
    path.write_bytes(model.SerializeToString())
    stamp(path, Told(name="falling", task="classification"), bioimageio=False, force=False)
    for name in "abcd":
        data.picture(name, 5, 5)
    table = tmp_path / "classes.csv"
    table.write_text("a,0\nb,4\nc,5\nd,7\n")
    report = evaluate(path, replace(data.request(), labels=table))
    assert (report.result.top1, report.result.top5) == (0.25, 0.5)  # type: ignore[union-attr]
