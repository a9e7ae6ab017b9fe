"""Variants of models that answer numbers, or take bytes and answer classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest
from tests.exporter.precision_nets import inputs, save_scenes, saved, unet

from anyres_exporter.precision.request import Asked
from anyres_exporter.precision.variant import faster
from anyres_exporter.runtime import Runtime, first

SIDE = 32  # small, as speed is no matter here


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_scenes(tmp_path_factory.mktemp("pictures"))


def test_numbers_agree_within_a_tolerance_that_the_card_names(tmp_path: Path, scenes: Path) -> None:
    graph = unet()
    found = faster(saved(graph, tmp_path), Asked("int8", scenes, side=SIDE), tmp_path).card
    numbers = found.model_copy(
        update={
            "name": "depth",
            "task": "regression",
            "precision": None,
            "outputs": tuple(o.model_copy(update={"meaning": "values"}) for o in found.outputs),
        }
    )
    onnx.helper.set_model_props(graph, {"anyres.card": numbers.model_dump_json()})
    variant = faster(
        saved(graph, tmp_path, "depth"),
        Asked("int8", scenes, min_agreement=0.9, side=SIDE),
        tmp_path,
    )
    assert variant.precision.mean_iou is None
    assert variant.precision.tolerance == 0.02
    fp32, int8 = Runtime(tmp_path / "depth.onnx"), Runtime(variant.path)
    held_out = [image[..., : image.shape[3] // 2 * 2] for image in inputs(scenes)[1::2]]
    right = [first(fp32(image)).ravel() for image in held_out]
    wrong = np.concatenate([first(int8(image)).ravel() for image in held_out])
    spread = np.ptp(np.concatenate(right))
    close = np.abs(np.concatenate(right) - wrong) <= 0.02 * spread
    assert variant.precision.agreement == pytest.approx(close.mean(), abs=1e-4)


def test_bytes_in_and_classes_out_are_calibrated_on_bytes_and_compared_as_classes(
    tmp_path: Path, scenes: Path
) -> None:
    inner = unet().graph
    head = """t = Transpose <perm=[0,3,1,2]> (image) f = Cast <to=1> (t) i = Mul (f, scale)"""
    tail = """best = ArgMax <axis=1, keepdims=0> (logits) classes = Cast <to=2> (best)"""
    graph = onnx.parser.parse_model(
        '<ir_version: 10, opset_import: ["" : 18]> net (uint8[N,H,W,3] image)'
        f"=> (uint8[N,P,Q] classes) {{ {head} {tail} }}"
    )
    nodes = list(graph.graph.node)
    inner.node[0].input[0] = "i"
    del graph.graph.node[:]
    graph.graph.node.extend([*nodes[:3], *inner.node, *nodes[3:]])
    graph.graph.initializer.extend(inner.initializer)
    scale = np.array(1 / 255, np.float32)
    graph.graph.initializer.append(onnx.numpy_helper.from_array(scale, "scale"))
    made = faster(saved(graph, tmp_path), Asked("int8", scenes, side=SIDE), tmp_path / "out")
    assert made.card.input.dtype == "uint8"
    assert made.precision.agreement >= 0.99
    assert made.precision.mean_iou is not None
    assert made.precision.max_abs_error == 0  # there are no scores to be wrong by
    image = (inputs(scenes)[1].transpose(0, 2, 3, 1) * 255).round().astype(np.uint8)
    plain = first(Runtime(unet())(inputs(scenes)[1])).argmax(1)
    assert (first(Runtime(made.path)(image)) == plain).mean() >= 0.99
