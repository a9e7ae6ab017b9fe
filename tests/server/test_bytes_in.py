"""Graphs that take bytes and reduce their scores themselves, on a real server; the oracle is the
plain network in ONNX Runtime, with numpy before and behind it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from PIL import Image

from anyres_analyzer import analyze
from anyres_exporter.rewrite.batteries.batteries import Batteries
from anyres_exporter.rewrite.batteries.fitted import fitted
from anyres_proto.anyres.v1 import dense_prediction_pb2 as pb
from anyres_proto.card import METADATA_KEY, Card, ImageInput
from anyres_proto.inference import grpc_service_pb2 as oip
from anyres_proto.inference.grpc_service_pb2_grpc import GRPCInferenceServiceStub
from anyres_proto.tensors import to_array, to_tensor
from anyres_server.engine.session import open_engine
from anyres_server.model import LoadedNetwork
from anyres_server.repository.cards import card_of

Array = NDArray[Any]
KIB = 1024
SPEC = ImageInput(name="x", mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))
BLUE_FIRST = ImageInput(name="x", colour="BGR", scale=1.0, mean=(104, 117, 124))
CLASSES, CONFIDENCE = pb.OUTPUT_KIND_CLASS_MAP, pb.OUTPUT_KIND_CONFIDENCE
TOP_CLASSES, TOP_SCORES = pb.OUTPUT_KIND_TOP_K_CLASSES, pb.OUTPUT_KIND_TOP_K_SCORES
LOGITS, PROBABILITIES = pb.OUTPUT_KIND_LOGITS, pb.OUTPUT_KIND_PROBABILITIES
PNG_MASK = pb.OUTPUT_KIND_MASK_PNG

Png = Callable[[Array], bytes]
Fit = Callable[..., None]


@pytest.fixture
def fit(models: Path, network: Callable[[str], onnx.ModelProto]) -> Fit:
    """`fit("unet", answer="argmax")` writes that network with batteries, bytes among them."""

    def write(
        name: str, spec: ImageInput = SPEC, *, card: bool = False, called: str = "", **asked: Any
    ) -> None:
        plain = network(name)
        graph = fitted(plain, spec, Batteries(**({"pixels": "bytes"} | asked)), analyze(plain))
        if card:
            made = card_of(name, analyze(graph)).model_dump() | {"description": "fitted"}
            text = Card.model_validate(made).model_dump_json()
            onnx.helper.set_model_props(graph, {METADATA_KEY: text})
        onnx.save(graph, models / f"{called or name}.onnx")

    return write


@pytest.fixture
def logits(network: Callable[[str], onnx.ModelProto]) -> Callable[..., Array]:
    """The plain network's logits (channels, h, w) for pixels (h, w, rgb)."""

    def answer(name: str, pixels: Array, spec: ImageInput = SPEC) -> Array:
        session = ort.InferenceSession(network(name).SerializeToString())
        ordered = pixels[..., ::-1] if spec.colour == "BGR" else pixels
        values = (ordered * spec.scale - np.array(spec.mean)) / np.array(spec.std)
        planes = values.transpose(2, 0, 1)[None].astype(np.float32)
        return np.asarray(session.run(None, {"x": planes})[0][0])

    return answer


def softmax(scores: Array) -> Array:
    raised = np.exp(scores.astype(np.float64) - scores.max(axis=0))
    return np.asarray(raised / raised.sum(axis=0))


def picture(height: int, width: int) -> Array:
    return np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)


def arrays(answer: pb.PredictResponse) -> list[Array]:
    return [to_array(output.tensor) for output in answer.outputs]


def agree(one: Array, other: Array) -> bool:
    """An argmax may differ where two scores are the same but for rounding."""
    return one.shape == other.shape and bool((one == other).mean() > 0.995)


@pytest.mark.parametrize("card", [True, False])
@pytest.mark.parametrize(("name", "size"), [("unet", (16, 22)), ("stride4", (19, 33))])
async def test_a_class_map_that_the_graph_makes_is_passed_on(
    serve: Any, fit: Fit, logits: Any, png: Png, name: str, size: tuple[int, int], card: bool
) -> None:
    fit(name, answer="argmax", card=card)
    pixels = picture(*size)
    async with serve() as served:
        answer = await served.predict(name, png(pixels))
        tensor = pb.PredictRequest(model_name=name, image=pb.Image(tensor=to_tensor(pixels)))
        again = await served.stub.Predict(tensor)
    (classes,) = arrays(answer)
    assert classes.dtype == np.uint8
    assert agree(classes, logits(name, pixels).argmax(axis=0))
    assert (classes == arrays(again)[0]).all()


async def test_red_comes_first_whatever_the_network_inside_takes(
    serve: Any, fit: Fit, logits: Any, png: Png
) -> None:
    fit("unet", BLUE_FIRST, layout="NHWC")
    pixels = picture(12, 14)
    async with serve() as served:
        (found,) = arrays(await served.predict("unet", png(pixels), LOGITS))
    expected = logits("unet", pixels, BLUE_FIRST)
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize(
    ("name", "size", "budget"),
    [("unet", (98, 134), 300 * KIB), ("stride4", (97, 131), 60 * KIB)],
)
async def test_tiles_of_bytes_equal_the_whole_image(
    serve: Any, fit: Fit, png: Png, name: str, size: tuple[int, int], budget: int
) -> None:
    fit(name, answer="argmax", keep_logits=True, layout="NHWC")
    file = png(picture(*size))
    async with serve() as served:
        whole = await served.predict(name, file)
        scores = await served.predict(name, file, LOGITS)
    async with serve(memory_whole_image=budget, memory_tile=budget) as served:
        tiled = await served.predict(name, file)
        tiled_scores = await served.predict(name, file, LOGITS, CLASSES)
    assert whole.route == pb.ROUTE_WHOLE
    assert tiled.route == pb.ROUTE_TILED
    assert tiled.pieces > 3
    assert agree(arrays(whole)[0], arrays(tiled)[0])
    np.testing.assert_allclose(arrays(scores)[0], arrays(tiled_scores)[0], atol=1e-5)
    assert agree(arrays(whole)[0], arrays(tiled_scores)[1])


async def test_without_its_scores_a_class_map_tells_no_more_than_classes(
    serve: Any, fit: Fit, png: Png
) -> None:
    fit("unet", answer="argmax")
    file = png(picture(8, 8))
    async with serve() as served:
        for kind, named in (
            (CONFIDENCE, "confidence"),
            (LOGITS, "logits"),
            (TOP_CLASSES, "top-k classes"),
            (PROBABILITIES, "probabilities"),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await served.predict("unet", file, CLASSES, kind, top_k=2)
            assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
            assert refused.value.details() == (
                f"model 'unet' gives a class map, so there is no {named}; ask for CLASS_MAP, "
                "MASK_PNG"
            )


async def test_kept_scores_tell_everything(serve: Any, fit: Fit, logits: Any, png: Png) -> None:
    fit("unet", answer="argmax", keep_logits=True)
    pixels = picture(10, 12)
    scores = logits("unet", pixels)
    order = np.argsort(-scores, axis=0)[:2]
    kinds = (CLASSES, CONFIDENCE, TOP_CLASSES, TOP_SCORES, PROBABILITIES, LOGITS)
    async with serve() as served:
        found = arrays(await served.predict("unet", png(pixels), *kinds, top_k=2))
    assert agree(found[0], scores.argmax(axis=0))
    np.testing.assert_allclose(found[1], softmax(scores).max(axis=0), atol=1e-4)
    assert agree(found[2], order)
    np.testing.assert_allclose(found[3], np.sort(softmax(scores), axis=0)[:0:-1], atol=1e-4)
    np.testing.assert_allclose(found[4], softmax(scores), atol=1e-4)
    np.testing.assert_allclose(found[5], scores, atol=1e-4)


@pytest.mark.parametrize("keep", [True, False])
async def test_probabilities_that_the_graph_makes_are_told_from_kept_scores(
    serve: Any, fit: Fit, logits: Any, png: Png, keep: bool
) -> None:
    fit("unet", answer="softmax", keep_logits=keep)
    pixels = picture(10, 12)
    scores = logits("unet", pixels)
    async with serve() as served:
        (own,) = arrays(await served.predict("unet", png(pixels), LOGITS))
        found = arrays(await served.predict("unet", png(pixels), PROBABILITIES, CLASSES))
    np.testing.assert_allclose(own, scores if keep else softmax(scores), atol=1e-4)
    np.testing.assert_allclose(found[0], softmax(scores), atol=1e-4)
    assert agree(found[1], scores.argmax(axis=0))


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
async def test_the_best_classes_come_from_the_graph(
    serve: Any, fit: Fit, logits: Any, png: Png, layout: str
) -> None:
    fit("stride4", answer="top_k", k=3, layout=layout)
    pixels = picture(21, 18)
    probabilities = softmax(logits("stride4", pixels))
    order = np.argsort(-probabilities, axis=0)
    kinds = (TOP_SCORES, TOP_CLASSES, CLASSES, CONFIDENCE)
    async with serve() as served:
        found = arrays(await served.predict("stride4", png(pixels), *kinds, top_k=2))
        with pytest.raises(grpc.aio.AioRpcError, match="top_k must be 1 to 3, as many as its"):
            await served.predict("stride4", png(pixels), TOP_CLASSES, top_k=4)
        with pytest.raises(grpc.aio.AioRpcError, match="gives the best classes, so there is no"):
            await served.predict("stride4", png(pixels), LOGITS)
    best = np.take_along_axis(probabilities, order, axis=0)
    np.testing.assert_allclose(found[0], best[:2], atol=1e-5)
    assert (found[1].dtype.name, found[2].dtype.name) == ("uint16", "uint8")
    assert agree(found[1], order[:2])
    assert agree(found[2], order[0])
    np.testing.assert_allclose(found[3], best[0], atol=1e-5)


async def test_kept_scores_have_more_classes_than_the_graph_sorts(
    serve: Any, fit: Fit, logits: Any, png: Png
) -> None:
    fit("stride4", answer="top_k", k=2, keep_logits=True)
    pixels = picture(21, 18)
    async with serve() as served:
        (found,) = arrays(await served.predict("stride4", png(pixels), TOP_CLASSES, top_k=5))
    assert agree(found, np.argsort(-logits("stride4", pixels), axis=0))


async def test_a_mask_is_a_class_map_of_two(serve: Any, models: Path, png: Png) -> None:
    text = """<ir_version: 8, opset_import: ["" : 17]>
    net (float[N,3,H,W] x) => (float[N,1,P,Q] y) { y = ReduceMax <axes=[1]> (x) }"""
    plain = onnx.parser.parse_model(text)
    asked = Batteries("bytes", "mask", threshold=0.6)
    spec = ImageInput(name="x")
    onnx.save(fitted(plain, spec, asked, analyze(plain)), models / "net.onnx")
    pixels = picture(9, 7)
    async with serve() as served:
        (mask,) = arrays(await served.predict("net", png(pixels)))
        (file,) = arrays(await served.predict("net", png(pixels), PNG_MASK))
        with pytest.raises(grpc.aio.AioRpcError, match="gives a mask, so there is no confidence"):
            await served.predict("net", png(pixels), CONFIDENCE)
    assert (mask == (pixels.max(axis=2) / 255 > np.log(0.6 / 0.4))).all()
    assert 0 < mask.mean() < 1
    with Image.open(BytesIO(file.tobytes())) as drawn:
        assert (np.asarray(drawn) == mask).all()


async def test_floats_are_refused_where_bytes_are_taken(serve: Any, fit: Fit) -> None:
    fit("unet", answer="argmax")
    planes = pb.Image(tensor=to_tensor(np.zeros((3, 8, 8), np.float32)))
    async with serve() as served:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await served.stub.Predict(pb.PredictRequest(model_name="unet", image=planes))
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert refused.value.details() == (
        "an image is UINT8 (height, width, 3) for this model; got float32 (3, 8, 8)"
    )


class Watched:
    """A network that remembers what it was given, and asked for."""

    def __init__(self, network: LoadedNetwork, runs: list[Any]) -> None:
        self._network, self._runs = network, runs
        self.batches, self.metadata = network.batches, network.metadata

    def __call__(self, images: Array, outputs: Sequence[str], **how: Any) -> tuple[Array, ...]:
        self._runs.append((images.dtype.name, images.shape, tuple(outputs)))
        return self._network(images, outputs, **how)


async def test_images_of_one_size_that_want_the_same_share_a_run(
    serve: Any, fit: Fit, png: Png
) -> None:
    fit("unet", answer="argmax", keep_logits=True)
    files = [png(picture(side, 8)[:8]) for side in (8, 9, 10)]
    runs: list[Any] = []

    def opening(path: Path, *, threads: int) -> Watched:
        return Watched(open_engine(path, threads), runs)

    async with serve(opening=opening, batching_max_size=2, batching_max_delay_s=0.05) as served:
        asked = [(files[0],), (files[1],), (files[2], CLASSES, LOGITS)]
        together = await asyncio.gather(*(served.predict("unet", *each) for each in asked))
    async with serve(batching_max_size=1) as served:
        alone = [await served.predict("unet", *each) for each in asked]
    assert sorted(runs) == [
        ("uint8", (1, 8, 8, 3), ("y",)),
        ("uint8", (2, 8, 8, 3), ("classes",)),
    ]
    for one, other in zip(together[:2], alone, strict=False):
        assert agree(arrays(one)[0], arrays(other)[0])
    np.testing.assert_allclose(arrays(together[2])[1], arrays(alone[2])[1], atol=1e-5)


async def test_tiles_of_a_class_map_are_streamed(serve: Any, fit: Fit, png: Png) -> None:
    fit("unet", answer="argmax")
    file = png(picture(98, 134))

    async def upload() -> Any:
        yield pb.PredictTilesRequest(header=pb.PredictTilesHeader(model_name="unet"))
        yield pb.PredictTilesRequest(chunk=file)

    async with serve() as served:
        (whole,) = arrays(await served.predict("unet", file))
    pasted = np.full_like(whole, 255)
    async with serve(memory_whole_image=300 * KIB, memory_tile=300 * KIB) as served:
        async for part in served.stub.PredictTiles(upload()):
            if part.WhichOneof("part") == "tile":
                tile = part.tile
                rows = slice(tile.top, tile.top + tile.size.height)
                columns = slice(tile.left, tile.left + tile.size.width)
                pasted[rows, columns] = to_array(tile.outputs[0].tensor)
    assert agree(pasted, whole)


def infer(
    name: str, images: Array, *outputs: str, datatype: str = "UINT8"
) -> oip.ModelInferRequest:
    tensor = oip.ModelInferRequest.InferInputTensor(name="x", datatype=datatype, shape=images.shape)
    return oip.ModelInferRequest(
        model_name=name,
        inputs=[tensor],
        outputs=[oip.ModelInferRequest.InferRequestedOutputTensor(name=each) for each in outputs],
        raw_input_contents=[images.tobytes()],
    )


async def test_the_open_protocol_takes_bytes_and_gives_every_output(
    serve: Any, fit: Fit, logits: Any
) -> None:
    fit("unet", answer="argmax", keep_logits=True)
    images = np.stack([picture(8, 10), picture(9, 10)[:8]])
    async with serve() as served:
        stub = GRPCInferenceServiceStub(served.channel)
        said = await stub.ModelMetadata(oip.ModelMetadataRequest(name="unet"))
        config = (await stub.ModelConfig(oip.ModelConfigRequest(name="unet"))).config
        both = await stub.ModelInfer(infer("unet", images))
        one = await stub.ModelInfer(infer("unet", images, "y"))
    tensors = [*said.inputs, *said.outputs]
    assert [(each.name, each.datatype, list(each.shape)) for each in tensors] == [
        ("x", "UINT8", [-1, -1, -1, 3]),
        ("classes", "UINT8", [-1, -1, -1]),
        ("y", "FP32", [-1, 3, -1, -1]),
    ]
    assert [list(each.dims) for each in (*config.input, *config.output)] == [
        list(each.shape) for each in tensors
    ]
    assert [(each.name, each.datatype) for each in both.outputs] == [
        ("classes", "UINT8"),
        ("y", "FP32"),
    ]
    classes = np.frombuffer(both.raw_output_contents[0], np.uint8).reshape(2, 8, 10)
    scores = np.frombuffer(both.raw_output_contents[1], "<f4").reshape(2, 3, 8, 10)
    for image, found, each in zip(images, classes, scores, strict=True):
        np.testing.assert_allclose(each, logits("unet", image), atol=1e-4)
        assert agree(found, logits("unet", image).argmax(axis=0))
    assert [each.name for each in one.outputs] == ["y"]
    assert one.raw_output_contents[0] == both.raw_output_contents[1]


async def test_bytes_may_come_element_by_element(serve: Any, fit: Fit) -> None:
    fit("unet", answer="argmax")
    images = picture(4, 6)[None]
    raw = infer("unet", images)
    listed = infer("unet", images)
    del listed.raw_input_contents[:]
    listed.inputs[0].contents.uint_contents.extend(images.ravel().tolist())
    beyond = infer("unet", images)
    beyond.CopyFrom(listed)
    beyond.inputs[0].contents.uint_contents[0] = 256
    async with serve() as served:
        stub = GRPCInferenceServiceStub(served.channel)
        one, other = await stub.ModelInfer(raw), await stub.ModelInfer(listed)
        with pytest.raises(grpc.aio.AioRpcError, match="holds 0 to 255; got 256"):
            await stub.ModelInfer(beyond)
    assert one.raw_output_contents == other.raw_output_contents


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (
            infer("unet", np.zeros((1, 3, 8, 8), np.uint8)),
            "takes shape [-1, -1, -1, 3] (images, height, width, channels; -1 is any)",
        ),
        (
            infer("unet", np.zeros((1, 8, 8, 3), np.float32), datatype="FP32"),
            "takes datatype UINT8 or BYTES; got 'FP32'",
        ),
        (
            infer("unet", np.zeros((1, 8, 8, 3), np.uint8), "scores"),
            "has no output 'scores'; there is 'classes'",
        ),
        (
            infer("unet", np.zeros((1, 7, 8, 3), np.uint8)),
            "takes height H of 2, 4, 6, ... (steps of 2), got 7",
        ),
    ],
)
async def test_what_is_no_image_of_bytes_is_refused_in_a_line(
    serve: Any, fit: Fit, request_: oip.ModelInferRequest, said: str
) -> None:
    fit("unet", answer="argmax")
    async with serve() as served:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await GRPCInferenceServiceStub(served.channel).ModelInfer(request_)
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert said in str(refused.value.details())
    assert "\n" not in str(refused.value.details())


async def test_many_banded_pixels_come_as_a_tensor_of_bytes(
    serve: Any, fit: Fit, network: Any, png: Png
) -> None:
    spec = ImageInput(name="x", channels=5, mean=(0.5,) * 5, std=(0.5,) * 5)
    fit("five_bands", spec, answer="argmax")
    pixels = np.random.default_rng(1).integers(0, 256, (6, 9, 5), np.uint8)
    session = ort.InferenceSession(network("five_bands").SerializeToString())
    planes = ((pixels / 255 - 0.5) / 0.5).transpose(2, 0, 1)[None].astype(np.float32)
    expected = session.run(None, {"x": planes})[0][0].argmax(axis=0)
    async with serve() as served:
        image = pb.Image(tensor=to_tensor(pixels))
        answer = await served.stub.Predict(pb.PredictRequest(model_name="five_bands", image=image))
        with pytest.raises(grpc.aio.AioRpcError, match=r"send a UINT8 tensor \(height, width, 5\)"):
            await served.predict("five_bands", png(picture(6, 9)))
    assert agree(arrays(answer)[0], expected)
