"""Tensors in the Open Inference Protocol: any layout, pixels, halves, and what is made of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator
from tests.server.stock import stock

from anyres_analyzer import analyze
from anyres_proto.card import METADATA_KEY, Card
from anyres_proto.inference import grpc_service_pb2 as pb
from anyres_proto.inference.grpc_service_pb2_grpc import GRPCInferenceServiceStub
from anyres_server.repository.cards import card_of

CHANNELS_LAST = """<ir_version: 8, opset_import: ["" : 17]>
last ({kind}[N,H,W,3] x) => (float[N,4,P,Q] y) {{
    f = Cast <to = 1> (x)
    t = Transpose <perm = [0, 3, 1, 2]> (f)
    y = Conv <kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1]> (t, w)
}}"""


def channels_last(kind: str) -> onnx.ModelProto:
    model = onnx.parser.parse_model(CHANNELS_LAST.format(kind=kind))
    weights = np.random.default_rng(7).standard_normal((4, 3, 3, 3), np.float32)
    model.graph.initializer.append(onnx.numpy_helper.from_array(weights, "w"))
    return model


def picture(height: int, width: int) -> NDArray[np.uint8]:
    return np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)


def scores(network: Any, name: str, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What ONNX's own evaluator makes of pixels scaled to 0..1: (channels, h, w)."""
    planes = (pixels.transpose(2, 0, 1)[None] / 255).astype(np.float32)
    (found,) = ReferenceEvaluator(network(name)).run(None, {"x": planes})
    of_one: NDArray[np.float32] = np.asarray(found)[0]
    return of_one


async def infer(port: int, model: str, **options: Any) -> Any:
    (outcome,) = await stock(port, ("infer", {"model": model, "name": "x", **options}))
    return outcome.get("value", outcome)


async def test_a_tensor_too_large_for_one_piece_is_tiled_too(serve: Any, network: Any) -> None:
    images = np.random.default_rng(1).random((2, 3, 96, 80), np.float32)
    limits = {"memory_whole_image": 40_000, "memory_tile": 40_000}
    async with serve("stride4", **limits) as served:
        answer = await infer(served.server.port, "stride4", values=images.tolist())
    assert answer["parameters"]["routes"] == "tiled,tiled"
    (wanted,) = ReferenceEvaluator(network("stride4")).run(None, {"x": images})
    np.testing.assert_allclose(answer["outputs"]["y"], np.asarray(wanted), atol=1e-5)


async def test_halves_go_in_and_come_out_where_they_are_asked_for(serve: Any, network: Any) -> None:
    images = np.random.default_rng(1).random((2, 3, 8, 12)).astype(np.float16)
    async with serve("stride4") as served:
        answer = await infer(
            served.server.port,
            "stride4",
            values=images.tolist(),
            datatype="FP16",
            dtype="float16",
            parameters={"output_datatype": "FP16"},
        )
    (wanted,) = ReferenceEvaluator(network("stride4")).run(None, {"x": images.astype(np.float32)})
    assert answer["datatypes"] == {"y": "FP16"}
    np.testing.assert_array_equal(
        answer["outputs"]["y"], np.asarray(wanted).astype(np.float16).astype(float)
    )


async def test_something_made_of_scores_can_be_asked_of_tensors_too(
    serve: Any, network: Any
) -> None:
    images = np.random.default_rng(1).random((2, 3, 8, 12), np.float32)
    async with serve("stride4") as served:
        answer = await infer(
            served.server.port,
            "stride4",
            values=images.tolist(),
            outputs=["y", "top_k_classes"],
            parameters={"top_k": 2},
        )
    (wanted,) = ReferenceEvaluator(network("stride4")).run(None, {"x": images})
    best = np.argsort(-np.asarray(wanted), axis=1, kind="stable")[:, :2]
    np.testing.assert_allclose(answer["outputs"]["y"], np.asarray(wanted), atol=1e-5)
    np.testing.assert_array_equal(answer["outputs"]["top_k_classes"], best)


async def test_a_threshold_may_be_a_number_of_either_kind(serve: Any, network: Any) -> None:
    images = np.random.default_rng(1).random((1, 3, 8, 12), np.float32)
    (scores_of_all,) = ReferenceEvaluator(network("stride4")).run(None, {"x": images})
    raised = np.exp(np.asarray(scores_of_all, np.float64))
    of_class = raised[:, 2] / raised.sum(axis=1)
    between = float(np.median(of_class))
    calls = [
        (
            "infer",
            {
                "model": "stride4",
                "name": "x",
                "values": images.tolist(),
                "outputs": ["threshold_mask"],
                "parameters": {"threshold": threshold, "threshold_class": 2},
            },
        )
        for threshold in (between, 1, 0)
    ]
    async with serve("stride4") as served:
        outcomes = await stock(served.server.port, *calls)
    middle, none, everything = (
        outcome["value"]["outputs"]["threshold_mask"] for outcome in outcomes
    )
    np.testing.assert_array_equal(middle, of_class >= between)
    assert not np.any(none)
    assert np.all(everything)


@pytest.mark.parametrize("kind", ["float", "uint8"])
@pytest.mark.parametrize("colour", ["RGB", "BGR"])
async def test_a_tensor_is_what_the_network_takes_whatever_its_order_of_axes_and_colours(
    serve: Any, models: Path, kind: str, colour: str
) -> None:
    model = channels_last(kind)
    fields = card_of("last", analyze(model)).model_dump()
    fields["input"] |= {"colour": colour}
    text = Card.model_validate(fields).model_dump_json()
    onnx.helper.set_model_props(model, {METADATA_KEY: text})
    onnx.save(model, models / "last.onnx")
    dtype = "float32" if kind == "float" else "uint8"
    given = np.random.default_rng(2).integers(0, 256, (2, 8, 10, 3)).astype(dtype)
    async with serve() as served:
        answer = await infer(
            served.server.port,
            "last",
            values=given.tolist(),
            datatype="FP32" if kind == "float" else "UINT8",
            dtype=dtype,
            outputs=["logits", "class_map"],
        )
    (wanted,) = map(np.asarray, ReferenceEvaluator(model).run(None, {"x": given}))
    np.testing.assert_allclose(answer["outputs"]["logits"], wanted, rtol=1e-5, atol=1e-3)
    np.testing.assert_array_equal(answer["outputs"]["class_map"], wanted.argmax(axis=1))


async def test_one_output_alone_may_be_wanted_in_halves(serve: Any) -> None:
    asked = pb.ModelInferRequest(model_name="stride4", raw_input_contents=[bytes(768)])
    asked.inputs.add(name="x", datatype="FP32", shape=(1, 3, 8, 8))
    for name, wanted in (("logits", "FP32"), ("probabilities", "FP16")):
        output = asked.outputs.add(name=name)
        output.parameters["output_datatype"].string_param = wanted
    async with serve("stride4") as served:
        answer = await GRPCInferenceServiceStub(served.channel).ModelInfer(asked)
    assert {each.name: each.datatype for each in answer.outputs} == {
        "logits": "FP32",
        "probabilities": "FP16",
    }
    assert [*map(len, answer.raw_output_contents)] == [4 * 20, 2 * 20]


async def test_pixels_are_scaled_as_the_card_says(serve: Any, network: Any) -> None:
    pixels = np.stack([picture(8, 12), picture(8, 12)[::-1]])
    async with serve("stride4") as served:
        answer = await infer(
            served.server.port,
            "stride4",
            values=pixels.tolist(),
            datatype="UINT8",
            dtype="uint8",
            outputs=["class_map", "confidence"],
        )
    found = [scores(network, "stride4", each) for each in pixels]
    np.testing.assert_array_equal(
        answer["outputs"]["class_map"], [each.argmax(axis=0) for each in found]
    )
    assert np.shape(answer["outputs"]["confidence"]) == (2, 2, 3)
