"""Layers that less precision would ruin are found and kept in fp32, or the variant is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto
from onnx.reference import ReferenceEvaluator
from tests.exporter.precision_nets import (
    UNET,
    UNET_WEIGHTS,
    fitted,
    inputs,
    random_weights,
    save_scenes,
    saved,
    unet,
)

from anyres_exporter.errors import NotFaster
from anyres_exporter.precision.request import Asked
from anyres_exporter.precision.variant import faster
from anyres_exporter.runtime import Runtime, first

SIDE = 32  # small, as speed is no matter here
OUTLIER = "conv_7"  # the convolution after the join


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_scenes(tmp_path_factory.mktemp("pictures"))


def outlier() -> ModelProto:
    """Weights of thousands for a channel that is always zero: they cost fp32 nothing."""
    weights = random_weights(UNET_WEIGHTS)
    weights["w1"][5], weights["b1"][5] = 0, -1
    weights["w4"][:, 5] = 4000
    return fitted(UNET, weights)


def test_a_layer_with_wild_weights_is_found_and_alone_kept_in_fp32(
    tmp_path: Path, scenes: Path
) -> None:
    said: list[str] = []
    path = saved(outlier(), tmp_path)
    found = faster(path, Asked("int8", scenes, side=SIDE), tmp_path / "out", said.append).precision
    assert found.kept == (OUTLIER,)
    assert found.agreement >= 0.99
    assert any("1 of 4 layers in fp32" in each for each in said)
    nodes = {node.name: node for node in onnx.load(tmp_path / "out" / "net-int8.onnx").graph.node}
    makers = {name: node.op_type for node in nodes.values() for name in node.output}
    assert makers.get(nodes[OUTLIER].input[1]) is None  # its weights are not even stored in bytes
    assert makers[nodes["conv_0"].input[1]] == "DequantizeLinear"


def test_without_a_rescue_it_is_refused_and_nothing_is_written(
    tmp_path: Path, scenes: Path
) -> None:
    path, out = saved(outlier(), tmp_path), tmp_path / "out"
    with pytest.raises(NotFaster, match=r"int8 agrees with fp32 in \d\d?\.\d\d% .* 99.00% was"):
        faster(path, Asked("int8", scenes, rescue=False, side=SIDE), out)
    assert not out.exists()


def test_what_no_half_of_the_layers_can_rescue_is_refused(tmp_path: Path, scenes: Path) -> None:
    model = saved(unet(), tmp_path)
    with pytest.raises(NotFaster, match=r"even with 2 of 4 layers in fp32, and 100.00% was asked"):
        faster(model, Asked("int8", scenes, min_agreement=1, side=SIDE), tmp_path / "out")


def overflowing() -> ModelProto:
    """Activations of hundreds of thousands between the last two layers."""
    nodes = """a = Conv <kernel_shape=[3,3], pads=[1,1,1,1]> (image, w1) r = Relu (a)
        c = Conv <kernel_shape=[3,3], pads=[1,1,1,1]> (r, w2) features = Relu (c)"""
    weights = random_weights({"w1": (16, 3, 3, 3), "w2": (24, 16, 3, 3)})
    return fitted(nodes, {"w1": weights["w1"] * 600, "w2": weights["w2"] * 600})


def test_fp16_keeps_what_overflows_in_fp32_although_this_cpu_would_not_overflow(
    tmp_path: Path, scenes: Path
) -> None:
    model = saved(overflowing(), tmp_path)
    with pytest.raises(NotFaster, match=r"fp16 agrees with fp32 in 0.00%"):
        faster(model, Asked("fp16", scenes, rescue=False, side=SIDE), tmp_path)
    variant = faster(model, Asked("fp16", scenes, side=SIDE), tmp_path)
    assert set(variant.precision.kept) == {"conv_2", "conv_4"}
    reference = ReferenceEvaluator(onnx.load(variant.path))  # rounds as a device
    image = inputs(scenes)[1]
    right = first(Runtime(model)(image))
    answer = np.asarray(next(iter(reference.run(None, {"image": image}))))
    assert (answer.argmax(1) == right.argmax(1)).mean() >= 0.99


def test_weights_beyond_fp16_are_kept_by_fp16_and_stored_in_fp32_by_the_other(
    tmp_path: Path, scenes: Path
) -> None:
    nodes = """a = Conv <kernel_shape=[3,3], pads=[1,1,1,1]> (image, w1) r = Relu (a)
        c = Conv <kernel_shape=[3,3], pads=[1,1,1,1]> (r, w2) features = Relu (c)"""
    weights = random_weights({"w1": (16, 3, 3, 3), "w2": (24, 16, 3, 3)})
    large = {"w1": weights["w1"] * 1e-3, "w2": weights["w2"] * 4e6}
    model = saved(fitted(nodes, large), tmp_path)
    assert "conv_2" in faster(model, Asked("fp16", scenes, side=SIDE), tmp_path).precision.kept
    stored = faster(model, Asked("weights-fp16", scenes, side=SIDE), tmp_path)
    assert stored.precision.kept == ()
    assert {tensor.name for tensor in onnx.load(stored.path).graph.initializer} >= {"w1.fp16", "w2"}
