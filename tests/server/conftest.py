"""Tiny networks on disk, and real servers on free ports.

Networks are ONNX text with seeded weights. A file without a card is served as its graph says; the
`card` argument stamps one that differs from that in the fields given.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import grpc.aio
import numpy as np
import onnx
import onnx.parser
import pytest
from numpy.typing import NDArray
from PIL import Image

from anyres_analyzer import analyze
from anyres_proto.anyres.v1 import dense_prediction_pb2 as pb
from anyres_proto.anyres.v1.dense_prediction_pb2_grpc import DensePredictionServiceStub
from anyres_proto.card import METADATA_KEY, Card
from anyres_server.main import Running, running_server
from anyres_server.repository.cards import card_of
from anyres_server.settings.settings import Settings

if TYPE_CHECKING:  # the stub's asynchronous twin exists for type checkers alone
    from anyres_proto.anyres.v1.dense_prediction_pb2_grpc import DensePredictionServiceAsyncStub

# name -> (the nodes, the shapes of their weights, the output's declared shape)
NETWORKS: dict[str, tuple[str, dict[str, tuple[int, ...]], str]] = {
    "stride4": (
        """a = Conv <kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]> (x, w1, b1)
        r = Relu (a)
        p = MaxPool <kernel_shape=[2,2], strides=[2,2]> (r)
        y = Conv <kernel_shape=[3,3], pads=[1,1,1,1]> (p, w2, b2)""",
        {"w1": (4, 3, 3, 3), "b1": (4,), "w2": (5, 4, 3, 3), "b2": (5,)},
        "N,5,P,Q",
    ),
    "unet": (
        """a = Conv <kernel_shape=[3,3], pads=[1,1,1,1]> (x, w1, b1)
        r = Relu (a)
        d = Conv <kernel_shape=[2,2], strides=[2,2]> (r, w2, b2)
        e = Conv <kernel_shape=[3,3], pads=[1,1,1,1]> (d, w3, b3)
        q = Relu (e)
        u = ConvTranspose <kernel_shape=[2,2], strides=[2,2]> (q, w4, b4)
        c = Concat <axis=1> (r, u)
        y = Conv <kernel_shape=[3,3], pads=[1,1,1,1]> (c, w5, b5)""",
        {
            "w1": (4, 3, 3, 3),
            "b1": (4,),
            "w2": (6, 4, 2, 2),
            "b2": (6,),
            "w3": (6, 6, 3, 3),
            "b3": (6,),
            "w4": (6, 4, 2, 2),
            "b4": (4,),
            "w5": (3, 8, 3, 3),
            "b5": (3,),
        },
        "N,3,P,Q",
    ),
    "unpadded": (
        """a = Conv <kernel_shape=[5,5]> (x, w1, b1)
        r = Relu (a)
        y = Conv <kernel_shape=[3,3]> (r, w2, b2)""",
        {"w1": (4, 3, 5, 5), "b1": (4,), "w2": (2, 4, 3, 3), "b2": (2,)},
        "N,2,P,Q",
    ),
    "doubling": (
        """a = Conv <kernel_shape=[3,3], pads=[1,1,1,1]> (x, w1, b1)
        r = Relu (a)
        y = ConvTranspose <kernel_shape=[4,4], strides=[2,2], pads=[1,1,1,1]> (r, w2, b2)""",
        {"w1": (4, 3, 3, 3), "b1": (4,), "w2": (4, 2, 4, 4), "b2": (2,)},
        "N,2,P,Q",
    ),
    "gated": (
        """a = Conv <kernel_shape=[3,3], pads=[1,1,1,1]> (x, w1, b1)
        g = GlobalAveragePool (a)
        y = Mul (a, g)""",
        {"w1": (6, 3, 3, 3), "b1": (6,)},
        "N,6,P,Q",
    ),
    "head": (
        """a = Conv <kernel_shape=[2,2], strides=[2,2]> (x, w1, b1)
        f = Flatten (a)
        y = Gemm <transB=1> (f, w2, b2)""",
        {"w1": (2, 3, 2, 2), "b1": (2,), "w2": (4, 32), "b2": (4,)},
        "N,4",
    ),
    "grey": (
        "y = Conv <kernel_shape=[1,1]> (x, w1, b1)",
        {"w1": (2, 1, 1, 1), "b1": (2,)},
        "N,2,P,Q",
    ),
    "five_bands": (
        "y = Conv <kernel_shape=[1,1]> (x, w1, b1)",
        {"w1": (2, 5, 1, 1), "b1": (2,)},
        "N,2,P,Q",
    ),
    "identity": (
        "y = Identity (x)",
        {},
        "N,3,P,Q",
    ),
}
# No runs but those that a test asks for.
QUIET = {"compute_threads": 1, "grace_s": 5.0, "repository_warm_up_s": 0}
CHANNELS = {"grey": 1, "five_bands": 5}


def network(name: str) -> onnx.ModelProto:
    """One of the networks, with seeded weights."""
    body, weights, output = NETWORKS[name]
    random = np.random.default_rng(7)
    declared = ", ".join(_weight(key, shape, random) for key, shape in weights.items())
    return onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 17]>'
        f"{name} (float[N,{CHANNELS.get(name, 3)},H,W] x) => (float[{output}] y)"
        f" <{declared}> {{ {body} }}"
    )


def _weight(name: str, shape: tuple[int, ...], random: np.random.Generator) -> str:
    values = random.uniform(-1, 1, math.prod(shape))
    numbers = ", ".join(f"{value:.6f}" for value in values)
    return f"float[{','.join(map(str, shape))}] {name} = {{{numbers}}}"


def save(folder: Path, name: str, **card: Any) -> Path:
    """Write a network into a models' folder, with a card where one is given."""
    model = network(name)
    if card:
        fields = card_of(name, analyze(model)).model_dump() | card
        text = Card.model_validate(fields).model_dump_json()
        onnx.helper.set_model_props(model, {METADATA_KEY: text})
    path = folder / f"{name}.onnx"
    onnx.save(model, path)
    return path


def png(pixels: NDArray[Any]) -> bytes:
    file = BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@dataclass(frozen=True)
class Served:
    """A running server and a stub that asks it."""

    server: Running
    stub: DensePredictionServiceAsyncStub
    channel: grpc.aio.Channel

    async def predict(
        self, model: str, image: bytes, *kinds: pb.OutputKind.ValueType, top_k: int = 0
    ) -> pb.PredictResponse:
        return await self.stub.Predict(
            pb.PredictRequest(
                model_name=model, image=pb.Image(encoded=image), outputs=kinds, top_k=top_k
            )
        )


class Serve(Protocol):
    """Starts a server over the named networks and whatever else lies in the models' folder."""

    def __call__(
        self, *names: str, opening: Any = ..., **settings: Any
    ) -> AbstractAsyncContextManager[Served]: ...


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """An empty models' folder."""
    folder = tmp_path / "models"
    folder.mkdir()
    return folder


@pytest.fixture(name="png")
def _png() -> Callable[[NDArray[Any]], bytes]:
    """Pixels as a PNG file."""
    return png


@pytest.fixture(name="network")
def _network() -> Callable[[str], onnx.ModelProto]:
    """One of the networks, as ONNX."""
    return network


@pytest.fixture
def save_model(models: Path) -> Callable[..., Path]:
    """`save_model("unet", task="segmentation")` writes a network, with that in its card."""

    def write(name: str, **card: Any) -> Path:
        return save(models, name, **card)

    return write


def _settings(models: Path, given: dict[str, Any]) -> Settings:
    """Settings by the names that they have in the environment: `memory_budget`, `grace_s`."""
    nested: dict[str, Any] = {"models": models, "port": 0}
    for name, value in given.items():
        table, _, field = name.partition("_")
        if name in Settings.model_fields:
            nested[name] = value
        else:
            nested.setdefault(table, {})[field] = value
    return Settings.model_validate(nested)


@pytest.fixture
def serve(models: Path) -> Serve:
    """`async with serve("unet", limits_requests=1) as served:` is a real server on a free port."""

    @asynccontextmanager
    async def serving(*names: str, opening: Any = None, **settings: Any) -> AsyncIterator[Served]:
        for name in names:
            save(models, name)
        chosen = _settings(models, QUIET | settings)
        seam = {"opening": opening} if opening else {}
        async with (
            running_server(chosen, **seam) as server,
            grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel,
        ):
            yield Served(server, DensePredictionServiceStub(channel), channel)

    return serving
