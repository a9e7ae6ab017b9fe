"""The five calls of anyres.v1 on a real server, against ONNX's own reference evaluator."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator
from PIL import Image

from anyres_proto.anyres.v1 import dense_prediction_pb2 as pb
from anyres_proto.card import Card
from anyres_proto.tensors import to_array, to_tensor

Pixels = NDArray[np.uint8]
Png = Callable[[NDArray[Any]], bytes]
Network = Callable[[str], onnx.ModelProto]


def noise(height: int, width: int, channels: int = 3) -> Pixels:
    return np.random.default_rng(height).integers(0, 256, (height, width, channels), np.uint8)


def evaluated(model: onnx.ModelProto, planes: NDArray[Any]) -> NDArray[Any]:
    """The network's output (channels, h, w) by the reference evaluator."""
    (output,) = ReferenceEvaluator(model).run(None, {"x": planes[None].astype(np.float32)})
    result: NDArray[Any] = np.asarray(output)[0]
    return result


def zero_to_one(pixels: Pixels) -> NDArray[Any]:
    return pixels.transpose(2, 0, 1) / 255


async def code_of(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), caught.value.details() or ""


async def test_the_answer_is_the_networks_own_at_the_images_own_size(
    serve: Any, png: Png, network: Network
) -> None:
    pixels = noise(21, 34)
    expected = evaluated(network("stride4"), zero_to_one(pixels))
    async with serve("stride4") as served:
        answer = await served.predict(
            "stride4", png(pixels), pb.OUTPUT_KIND_LOGITS, pb.OUTPUT_KIND_CLASS_MAP
        )
    logits, class_map = (to_array(output.tensor) for output in answer.outputs)
    np.testing.assert_allclose(logits, expected, atol=1e-5)
    assert (class_map == expected.argmax(0)).all()
    assert class_map.dtype == np.uint8
    assert (answer.image_size.height, answer.image_size.width) == (21, 34)
    assert (answer.grid_size.height, answer.grid_size.width) == expected.shape[1:]
    assert (answer.model_name, answer.model_version) == ("stride4", "1")


async def test_the_cards_scaling_mean_std_and_colour_order_are_applied(
    serve: Any, save_model: Any, png: Png
) -> None:
    mean, std = (1.0, 2.0, 3.0), (0.5, 0.25, 2.0)
    save_model(
        "identity",
        input={"name": "x", "colour": "BGR", "scale": 1.0, "mean": mean, "std": std},
    )
    pixels = noise(4, 6)
    blue_green_red = pixels.astype(np.float64).transpose(2, 0, 1)[::-1]
    column = (3, 1, 1)
    expected = (blue_green_red - np.reshape(mean, column)) / np.reshape(std, column)
    async with serve() as served:
        answer = await served.predict("identity", png(pixels), pb.OUTPUT_KIND_LOGITS)
    np.testing.assert_allclose(to_array(answer.outputs[0].tensor), expected, rtol=1e-6)


async def test_a_float_tensor_goes_into_the_network_as_it_is(serve: Any) -> None:
    planes = np.random.default_rng(0).normal(size=(3, 5, 7)).astype(np.float32)
    request = pb.PredictRequest(
        model_name="identity",
        image=pb.Image(tensor=to_tensor(planes)),
        outputs=[pb.OUTPUT_KIND_LOGITS],
    )
    async with serve("identity") as served:
        answer = await served.stub.Predict(request)
    assert (to_array(answer.outputs[0].tensor) == planes).all()


async def test_raw_pixels_and_the_same_pixels_in_a_file_give_the_same_answer(
    serve: Any, png: Png
) -> None:
    pixels = noise(9, 8)
    async with serve("stride4") as served:
        raw = await served.stub.Predict(
            pb.PredictRequest(model_name="stride4", image=pb.Image(tensor=to_tensor(pixels)))
        )
        encoded = await served.predict("stride4", png(pixels))
    assert raw.outputs == encoded.outputs


async def test_a_network_without_a_map_answers_with_a_single_cell(
    serve: Any, png: Png, network: Network
) -> None:
    pixels = noise(8, 8)
    expected = evaluated(network("head"), zero_to_one(pixels))
    async with serve("head") as served:
        answer = await served.predict("head", png(pixels), pb.OUTPUT_KIND_LOGITS)
    logits = to_array(answer.outputs[0].tensor)
    assert logits.shape == (4, 1, 1)
    np.testing.assert_allclose(logits[:, 0, 0], expected, atol=1e-5)


async def test_outputs_come_in_the_order_asked_and_the_class_map_is_the_default(
    serve: Any, png: Png
) -> None:
    kinds = [pb.OUTPUT_KIND_CONFIDENCE, pb.OUTPUT_KIND_MASK_PNG, pb.OUTPUT_KIND_TOP_K_CLASSES]
    async with serve("stride4") as served:
        asked = await served.predict("stride4", png(noise(8, 8)), *kinds, top_k=2)
        silent = await served.predict("stride4", png(noise(8, 8)))
    assert [output.kind for output in asked.outputs] == kinds
    assert list(asked.outputs[2].tensor.shape) == [2, 2, 2]
    assert [output.kind for output in silent.outputs] == [pb.OUTPUT_KIND_CLASS_MAP]


async def test_a_mask_is_the_class_map_in_the_cards_colours(
    serve: Any, save_model: Any, png: Png
) -> None:
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
    save_model("identity", classes=[{"name": str(colour), "colour": colour} for colour in colours])
    pixels = noise(6, 5)
    async with serve() as served:
        answer = await served.predict("identity", png(pixels), pb.OUTPUT_KIND_MASK_PNG)
    mask = Image.open(BytesIO(to_array(answer.outputs[0].tensor).tobytes()))
    assert mask.format == "PNG"
    assert (np.asarray(mask.convert("RGB")) == np.array(colours)[pixels.argmax(2)]).all()


@pytest.mark.parametrize("tiles", [False, True])
async def test_thresholds_and_255ths_are_made_of_the_networks_scores_whole_and_in_tiles(
    serve: Any, save_model: Any, network: Network, png: Png, tiles: bool
) -> None:
    pixels = noise(65, 81)
    save_model("stride4", outputs=[{"name": "y", "channels": 5, "dense": True, "stride": [4, 4],
                                    "meaning": "logits"}])  # fmt: skip
    expected = evaluated(network("stride4"), zero_to_one(pixels))
    softmax = np.exp(expected) / np.exp(expected).sum(axis=0)
    request = pb.PredictRequest(
        model_name="stride4",
        image=pb.Image(encoded=png(pixels)),
        outputs=[pb.OUTPUT_KIND_THRESHOLD_MASK, pb.OUTPUT_KIND_PROBABILITIES_255],
        threshold=0.2,
        threshold_class=3,
    )
    small = {"memory_whole_image": 2**15, "memory_tile": 2**15} if tiles else {}
    async with serve(**small) as served:
        answer = await served.stub.Predict(request)
    assert (answer.pieces > 1) == tiles
    mask, in_255ths = (to_array(output.tensor) for output in answer.outputs)
    clear = np.abs(softmax[3] - 0.2) > 1e-4
    assert (mask == (softmax[3] >= 0.2))[clear].all()
    assert (np.abs(in_255ths - 255 * softmax) <= 0.501).all()


async def test_every_second_of_an_answer_is_accounted_for(serve: Any, png: Png) -> None:
    async with serve("stride4") as served:
        timing = (await served.predict("stride4", png(noise(64, 64)))).timing
    assert min(timing.decode_s, timing.compute_s, timing.reduce_s) > 0
    assert timing.queue_s >= 0
    assert timing.decode_s + timing.queue_s + timing.compute_s + timing.reduce_s < 5


async def test_a_stream_answers_every_request_by_its_id_and_survives_bad_ones(
    serve: Any, png: Png
) -> None:
    images = {f"good {side}": png(noise(side, side)) for side in (8, 64, 9, 12)} | {"bad": b"?"}
    requests = [
        pb.PredictStreamRequest(
            id=name,
            request=pb.PredictRequest(model_name="stride4", image=pb.Image(encoded=image)),
        )
        for name, image in images.items()
    ]
    async with serve("stride4", limits_stream_in_flight=2) as served:
        answers = {answer.id: answer async for answer in served.stub.PredictStream(iter(requests))}
        alone = await served.predict("stride4", images["good 64"])
    assert answers.keys() == images.keys()
    assert answers["good 64"].response.outputs == alone.outputs
    assert answers["bad"].failure.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert "PNG, JPEG" in answers["bad"].failure.message


async def test_models_are_listed_with_their_sizes_and_those_that_broke_with_the_reason(
    serve: Any, models: Path
) -> None:
    (models / "broken.onnx").write_bytes(b"no model")
    async with serve("unet", "head") as served:
        listed = (await served.stub.ListModels(pb.ListModelsRequest())).models
    assert [model.name for model in listed] == ["broken", "head", "unet"]
    assert [model.ready for model in listed] == [False, True, True]
    assert "broken.onnx" in listed[0].reason
    assert str(models) not in listed[0].reason
    assert listed[1].sizes == "height at least 8 and at most 9; width at least 8 and at most 9"
    assert "steps of 2" in listed[2].sizes


async def test_a_card_travels_as_it_was_stamped(serve: Any, save_model: Any) -> None:
    save_model("unet", task="segmentation", description="a test")
    async with serve() as served:
        answer = await served.stub.GetModel(pb.GetModelRequest(name="unet"))
    card = Card.model_validate_json(answer.card_json)
    assert (card.task, card.description) == ("segmentation", "a test")
    assert json.loads(answer.card_json)["tiling"]["height"]["alignment"] == 2


async def test_an_estimate_says_what_a_size_would_cost_without_running_it(serve: Any) -> None:
    """One 1x1 convolution from 1 channel to 2 on 10x20 pixels: 10 * 20 * 2 MACs."""
    request = pb.EstimateCostRequest(model_name="grey", image_size=pb.Size(height=10, width=20))
    async with serve("grey") as served:
        estimate = await served.stub.EstimateCost(request)
    assert estimate.macs == 400
    assert estimate.route == pb.ROUTE_WHOLE
    assert (estimate.grid_size.height, estimate.grid_size.width) == (10, 20)
    assert estimate.activation_bytes >= 4 * (200 + 400)
    assert not estimate.HasField("compute_s")  # nothing has run
    assert estimate.reserved_bytes == 10 * 20 * (2 + 1) + estimate.activation_bytes
    assert estimate.overhead == 1


async def test_an_estimate_of_tiles_is_what_the_prediction_then_does(serve: Any, png: Png) -> None:
    size = pb.Size(height=150, width=170)
    async with serve("stride4", memory_whole_image=2**16, memory_tile=2**16) as served:
        estimate = await served.stub.EstimateCost(
            pb.EstimateCostRequest(model_name="stride4", image_size=size)
        )
        answer = await served.predict("stride4", png(noise(150, 170)))
    assert (answer.route, answer.pieces) == (estimate.route, estimate.pieces)
    assert estimate.route == pb.ROUTE_TILED
    assert 1 < estimate.overhead < 3


async def test_pictures_that_are_too_much_are_foretold(serve: Any, png: Png) -> None:
    """Half of the memory is for pictures: here 2 MiB, and 6 bytes a pixel while it decodes."""
    size = pb.Size(height=600, width=600)
    async with serve("stride4", memory_budget=2**22) as served:
        estimate = await served.stub.EstimateCost(
            pb.EstimateCostRequest(model_name="stride4", image_size=size)
        )
        code, text = await code_of(served.predict("stride4", png(noise(600, 600))))
        found = re.search(r"largest square that fits is about (\d+)x\1", text)
        assert found
        assert 550 < int(found[1]) < 600
        await served.predict("stride4", png(noise(int(found[1]), int(found[1]))))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert estimate.route == pb.ROUTE_REFUSED
    assert "MiB of memory for pictures and results" in text
    assert text.split("takes")[0] == estimate.reason.split("takes")[0]


async def test_sizes_in_refusals_are_a_width_by_a_height(serve: Any) -> None:
    flat = pb.Image(tensor=to_tensor(np.zeros((6, 16_384, 3), np.uint8)))
    logits = pb.PredictRequest(
        model_name="unet", image=flat, outputs=[pb.OutputKind.OUTPUT_KIND_LOGITS]
    )
    none = pb.EstimateCostRequest(model_name="unet", image_size=pb.Size(height=0, width=7))
    async with serve("unet", limits_message_bytes=2**19) as served:
        _, large = await code_of(served.stub.Predict(logits))
        _, empty = await code_of(served.stub.EstimateCost(none))
    assert large.startswith("an answer of 16384x6 cells")
    assert empty == "image_size must be at least 1x1; got 7x0"


async def test_what_neither_fits_nor_tiles_is_refused_with_what_would_fit(
    serve: Any, png: Png
) -> None:
    size = pb.Size(height=520, width=520)
    async with serve("gated", memory_budget=2**23) as served:
        estimate = await served.stub.EstimateCost(
            pb.EstimateCostRequest(model_name="gated", image_size=size)
        )
        code, text = await code_of(served.predict("gated", png(np.zeros((520, 520, 3), np.uint8))))
        side = int(text.split("the largest square that fits is ")[1].split("x")[0])
        await served.predict("gated", png(np.zeros((side, side, 3), np.uint8)))
        larger = pb.Size(height=side + 1, width=side + 1)
        beyond = await served.stub.EstimateCost(
            pb.EstimateCostRequest(model_name="gated", image_size=larger)
        )
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "GlobalAveragePool" in text
    assert (estimate.route, estimate.reason) == (pb.ROUTE_REFUSED, text)
    assert beyond.route == pb.ROUTE_REFUSED


async def test_health_is_per_service_and_overall(serve: Any) -> None:
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    async with serve("grey") as served:
        health: Any = health_pb2_grpc.HealthStub(served.channel)
        for name in ("", "anyres.v1.DensePredictionService"):
            answer = await health.Check(health_pb2.HealthCheckRequest(service=name))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        code, _ = await code_of(health.Check(health_pb2.HealthCheckRequest(service="other")))
    assert code is grpc.StatusCode.NOT_FOUND


async def test_reflection_lists_the_services(serve: Any) -> None:
    from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

    async with serve("grey") as served:
        stub: Any = reflection_pb2_grpc.ServerReflectionStub(served.channel)
        asked = [reflection_pb2.ServerReflectionRequest(list_services="")]
        answers = [answer async for answer in stub.ServerReflectionInfo(iter(asked))]
    names = {service.name for service in answers[0].list_services_response.service}
    assert {"anyres.v1.DensePredictionService", "grpc.health.v1.Health"} <= names
