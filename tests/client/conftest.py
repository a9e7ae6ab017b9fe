"""A server that predicts by arithmetic, on a free port, and photos to ask it about.

It serves two models of three classes: a pixel's class is 0, 1 or 2 as its red is dark, middling or
bright. `zones` is a segmentation that answers every pixel, `things` a classifier that answers every
fourth. A third, `broken`, did not load. What was asked is kept in `requests`.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from numpy.typing import NDArray
from PIL import Image

from anyres_client import AsyncClient, Client
from anyres_proto.anyres.v1 import dense_prediction_pb2 as pb
from anyres_proto.anyres.v1 import dense_prediction_pb2_grpc as pb_grpc
from anyres_proto.card import AxisContract, Card, ClassName, ImageInput, Output, SizeContract
from anyres_proto.tensors import to_array, to_tensor

FREE = AxisContract(verdict="free", minimum=1, reason="nothing fixes it")


def card(name: str, task: str, stride: int) -> Card:
    colours = ((20, 40, 160), (30, 140, 60), (240, 200, 90))
    names = ("dark sea", "wood [dense]", "bright sand")
    steps = (Fraction(stride), Fraction(stride))
    return Card(
        name=name,
        task=task,  # type: ignore[arg-type]
        input=ImageInput(),
        outputs=(Output(channels=3, dense=True, stride=steps),),
        classes=tuple(ClassName(name=n, colour=c) for n, c in zip(names, colours, strict=True)),
        sizes=SizeContract(height=FREE, width=FREE),
    )


CARDS = {"zones": card("zones", "segmentation", 1), "things": card("things", "classification", 4)}


def logits(pixels: NDArray[np.uint8], stride: int) -> NDArray[np.float32]:
    red = pixels[::stride, ::stride, 0].astype(np.float32) / 255
    values: NDArray[np.float32] = -8 * np.abs(red - np.array([0, 0.5, 1])[:, None, None])
    return values.astype(np.float32)


def reductions(values: NDArray[np.float32], k: int) -> dict[int, NDArray[Any]]:
    every = np.exp(values) / np.exp(values).sum(axis=0)
    best = np.argsort(-every, axis=0, kind="stable")[:k]
    return {
        pb.OUTPUT_KIND_CLASS_MAP: every.argmax(axis=0).astype(np.uint8),
        pb.OUTPUT_KIND_CONFIDENCE: every.max(axis=0),
        pb.OUTPUT_KIND_TOP_K_CLASSES: best.astype(np.uint16),
        pb.OUTPUT_KIND_TOP_K_SCORES: np.take_along_axis(every, best, axis=0),
        pb.OUTPUT_KIND_PROBABILITIES: every,
        pb.OUTPUT_KIND_LOGITS: values,
    }


UNLUCKY = 13  # a width that no model takes


def upright(image: pb.Image) -> NDArray[np.uint8]:
    if image.HasField("tensor"):
        pixels = to_array(image.tensor)
        return pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)
    return np.asarray(Image.open(BytesIO(image.encoded)).convert("RGB"))


@dataclass
class Fake(pb_grpc.DensePredictionServiceServicer):
    """The seam, by arithmetic; `refuse` may abort a request before it is answered."""

    requests: list[pb.PredictRequest] = field(default_factory=list)
    versions: tuple[str, ...] = ("1",)
    models: tuple[str, ...] = ("broken", "things", "zones")
    refuse: Callable[[pb.PredictRequest, grpc.ServicerContext], None] = lambda _, __: None
    cards_sent: int = 0
    address: str = ""

    def Predict(  # noqa: N802 - the RPC's name
        self, request: pb.PredictRequest, context: grpc.ServicerContext
    ) -> pb.PredictResponse:
        self.requests.append(request)
        self.refuse(request, context)
        card = self._card(request.model_name, context)
        try:
            pixels = upright(request.image)
        except OSError:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the image is no PNG or JPEG file")
        values = logits(pixels, int(card.output.stride[0]))
        results = reductions(values, request.top_k or 5)
        height, width = values.shape[1:]
        return pb.PredictResponse(
            model_name=request.model_name,
            model_version=request.model_version or self.versions[-1],
            image_size=pb.Size(height=pixels.shape[0], width=pixels.shape[1]),
            grid_size=pb.Size(height=height, width=width),
            outputs=[pb.Output(kind=k, tensor=to_tensor(results[k])) for k in request.outputs],
            route=pb.ROUTE_TILED,
            pieces=6,
            padded=pb.Size(height=1, width=2),
            timing=pb.Timing(decode_s=0.25, queue_s=0.5, compute_s=1, reduce_s=2),
        )

    def PredictStream(self, _: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "no client streams yet")

    def PredictTiles(self, _: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "no client streams yet")

    def ListModels(self, _: Any, context: grpc.ServicerContext) -> pb.ListModelsResponse:  # noqa: N802
        return pb.ListModelsResponse(models=[self._summary(name) for name in self.models])

    def GetModel(  # noqa: N802
        self, request: pb.GetModelRequest, context: grpc.ServicerContext
    ) -> pb.GetModelResponse:
        self.cards_sent += 1
        text = self._card(request.name, context).model_dump_json()
        return pb.GetModelResponse(name=request.name, version="1", card_json=text)

    def EstimateCost(  # noqa: N802
        self, request: pb.EstimateCostRequest, context: grpc.ServicerContext
    ) -> pb.EstimateCostResponse:
        size = request.image_size
        if size.width == UNLUCKY:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"it takes no\nwidth of {UNLUCKY}")
        return pb.EstimateCostResponse(
            route=pb.ROUTE_REFUSED,
            grid_size=size,
            macs=size.height * 1000 + size.width,
            reason="big",
        )

    def _card(self, name: str, context: grpc.ServicerContext) -> Card:
        if name not in CARDS:
            said = f"no model {name!r}; there are things, zones"
            context.abort(grpc.StatusCode.NOT_FOUND, said)
        return CARDS[name]

    def _summary(self, name: str) -> pb.ModelSummary:
        if name == "broken":
            return pb.ModelSummary(name=name, versions=["1"], reason="the file is no ONNX [model]")
        task = CARDS[name].task
        return pb.ModelSummary(
            name=name, versions=self.versions, ready=True, sizes="any", task=task
        )


@dataclass(frozen=True)
class Served:
    """A grpc server around a fake."""

    fake: Fake
    health: health.HealthServicer
    server: grpc.Server
    port: int


def start(fake: Fake, port: int = 0) -> Served:
    server = grpc.server(ThreadPoolExecutor(4), options=[("grpc.so_reuseport", 0)])
    checks = health.HealthServicer()
    pb_grpc.add_DensePredictionServiceServicer_to_server(fake, server)
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    bound = server.add_insecure_port(f"127.0.0.1:{port}")
    fake.address = f"127.0.0.1:{bound}"
    checks.set("", health_pb2.HealthCheckResponse.SERVING)
    server.start()
    return Served(fake, checks, server, bound)


@pytest.fixture
def served() -> Iterator[Served]:
    running = start(Fake())
    yield running
    running.server.stop(None).wait()


@pytest.fixture
def fake(served: Served) -> Fake:
    return served.fake


Ask = Callable[..., Any]


@pytest.fixture(params=["blocking", "asyncio"])
def ask(request: pytest.FixtureRequest, fake: Fake) -> Ask:
    """`ask("predict", picture, model="zones")`: the same of either client."""

    def blocking(method: str, *args: Any, address: str = "", **options: Any) -> Any:
        with Client(address or fake.address) as client:
            return getattr(client, method)(*args, **options)

    def awaited(method: str, *args: Any, address: str = "", **options: Any) -> Any:
        async def run() -> Any:
            async with AsyncClient(address or fake.address) as client:
                return await getattr(client, method)(*args, **options)

        return asyncio.run(run())

    return blocking if request.param == "blocking" else awaited


def striped(height: int = 6, width: int = 12) -> NDArray[np.uint8]:
    """Three upright stripes, dark, middling and bright red: classes 0, 1 and 2."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, :, 0] = np.repeat([0, 128, 255], width // 3)
    return pixels


@pytest.fixture
def pixels() -> NDArray[np.uint8]:
    return striped()


@pytest.fixture
def photo(tmp_path: Path, pixels: NDArray[np.uint8]) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def free_address() -> str:
    """Where nobody listens."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{one.getsockname()[1]}"
