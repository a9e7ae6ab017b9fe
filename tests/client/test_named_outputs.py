"""A network's own outputs by their names, and the objects that its centres and offsets tell apart.

The network reads what a picture of discs has painted into its channels, so what it must say about
every pixel is known: red is 0 beside the discs, half on them and full in their middles; green and
blue are how far it is to the middle, down and to the right. The head for offsets sees fifteen
pixels, and a little of each, that for classes sees one.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc.aio
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from anyres_client import AsyncClient, Client, InvalidRequest, NotRequested, Overloaded
from anyres_client.local import LocalError, local_connection
from anyres_client.main import main

torch = pytest.importorskip("torch")
ort = pytest.importorskip("onnxruntime")
onnx = pytest.importorskip("onnx")

from torch import nn  # noqa: E402

from anyres_exporter.errors import BadRecipe  # noqa: E402
from anyres_exporter.export import export  # noqa: E402
from anyres_exporter.request import Sizes  # noqa: E402
from anyres_proto.anyres.v1 import dense_prediction_pb2 as pb  # noqa: E402
from anyres_proto.anyres.v1.dense_prediction_pb2_grpc import (  # noqa: E402
    DensePredictionServiceStub,
)
from anyres_proto.card import ClassName, Description  # noqa: E402
from anyres_proto.tensors import to_array, to_tensor  # noqa: E402
from anyres_server.main import running_server  # noqa: E402
from anyres_server.settings.settings import Settings  # noqa: E402

CLASSES = (ClassName(name="table"), ClassName(name="disc", thing=True))
MEANINGS: Any = {"centre": "centres", "offset": "offsets"}
MIDDLES = ((20, 20), (20, 34), (33, 27), (44, 70))  # the first three touch
RADIUS = 9
STEP = 5  # of green and blue, for every pixel of distance


class Discs(nn.Module):
    """Reads the channels; beside the three heads, outputs of other kinds and sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.offset = nn.Conv2d(3, 2, 15, padding=7)
        assert self.offset.bias is not None, "it was asked for"
        with torch.no_grad():
            self.offset.weight.uniform_(-1e-3, 1e-3, generator=torch.manual_seed(0))
            for head, channel in ((0, 1), (1, 2)):
                self.offset.weight[head, channel, 7, 7] = 255 / STEP
            nn.init.constant_(self.offset.bias, -128 / STEP)

    def forward(self, x: Any) -> dict[str, Any]:
        red = x[:, :1]
        centre = torch.relu(red - 0.6) * 2.5
        return {
            "logits": torch.cat([0.25 - red, red - 0.25], 1),
            "centre": centre,
            "offset": self.offset(x),
            "bright": (red > 0.7).to(torch.int64),
            "gated": centre * red.mean((2, 3), keepdim=True),
            "coarse": torch.nn.functional.avg_pool2d(x, 2),
            "inner": torch.nn.functional.avg_pool2d(x, 3, 1),
            "whole": x.mean((2, 3)),
        }


def labels(height: int = 60, width: int = 90) -> NDArray[np.intp]:
    """Which disc is where: 0 for none, and of several the nearest."""
    rows, columns = np.indices((height, width))
    away = np.stack([np.hypot(rows - y, columns - x) for y, x in MIDDLES])
    found: NDArray[np.intp] = np.where(away.min(0) <= RADIUS, away.argmin(0) + 1, 0)
    return found


def picture() -> NDArray[np.uint8]:
    found = labels()
    rows, columns = np.indices(found.shape)
    middles = np.array([(0, 0), *MIDDLES])[found]
    away = middles - np.stack([rows, columns], -1)
    red = np.where(found > 0, np.where((away == 0).all(-1), 255, 128), 0)
    others = np.where(found[..., None] > 0, 128 + STEP * away, 128)
    return np.concatenate([red[..., None], others], -1).astype(np.uint8)


PICTURE = picture()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    described = Description(name="discs", task="segmentation", classes=CLASSES)
    return export(Discs(), described, folder, sizes=Sizes((32, 32)), meanings=MEANINGS)


@pytest.fixture(scope="module")
def expected(model: Path) -> dict[str, NDArray[Any]]:
    """What ONNX Runtime says of the whole picture."""
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    image = (PICTURE.transpose(2, 0, 1)[None] / 255).astype(np.float32)
    values = session.run(names, {session.get_inputs()[0].name: image})
    return {name: value[0] for name, value in zip(names, values, strict=True)}


WHOLE: dict[str, int] = {}
TILED = {"tile": 90_000, "whole_image": 90_000}


@pytest.fixture(params=[WHOLE, TILED], ids=["whole", "tiled"])
async def address(model: Path, request: Any) -> AsyncIterator[str]:
    async with running_server(settings(model, request.param)) as server:
        yield f"127.0.0.1:{server.port}"


@pytest.fixture
async def tiled(model: Path) -> AsyncIterator[str]:
    async with running_server(settings(model, TILED)) as server:
        yield f"127.0.0.1:{server.port}"


def settings(model: Path, memory: dict[str, int]) -> Settings:
    return Settings.model_validate(
        {
            "models": model.parent,
            "port": 0,
            "compute": {"threads": 1},
            "repository": {"warm_up_s": 0},
            "memory": memory,
        }
    )


def blocking(address: str, work: Callable[[Client], Any]) -> Any:
    """What the blocking client says, asked from beside the loop that serves."""

    def run() -> Any:
        with Client(address) as client:
            return work(client)

    return asyncio.to_thread(run)


async def test_named_outputs_are_what_the_network_says_of_the_whole_picture(
    address: str, request: Any, expected: Any
) -> None:
    async with AsyncClient(address) as client:
        got = await client.predict(PICTURE, output=["offset", "bright", "centre"])
    assert list(got.outputs) == ["offset", "bright", "centre"]
    assert (got.route == "tiled") == ("tiled" in request.node.name)
    for name, values in got.outputs.items():
        assert values.dtype == expected[name].dtype
        np.testing.assert_allclose(values, expected[name], atol=1e-5, rtol=0)


async def test_kinds_and_names_come_together_and_either_client_gets_them(
    address: str, expected: Any
) -> None:
    def ask(client: Client) -> Any:
        return client.predict(PICTURE, model="discs", output=["offset", "classes"])

    got = await blocking(address, ask)
    assert list(got.outputs) == ["classes", "offset"]
    np.testing.assert_array_equal(got.classes, labels() > 0)
    np.testing.assert_allclose(got.outputs["offset"], expected["offset"], atol=1e-5)


async def test_discs_that_touch_are_objects_of_their_own(address: str) -> None:
    async with AsyncClient(address) as client:
        got = await client.predict(PICTURE, output="instances")
        plain = await client.predict(PICTURE, output=["classes", "confidence"])
    expected = {frozenset(map(tuple, np.argwhere(labels() == n))) for n in range(1, 5)}
    assert {frozenset(map(tuple, np.argwhere(one.mask))) for one in got.instances()} == expected
    assert {one.class_name for one in got.instances()} == {"disc"}
    assert len(got.instances(min_area=10_000)) == 0
    (table,) = got.instances(["table"])
    assert table.area == (labels() == 0).sum()
    assert len(plain.instances(["disc"])) == 2  # what connects, where there are no centres


async def test_many_pictures_have_their_objects_too(address: str) -> None:
    async with AsyncClient(address) as client:
        answers = client.predict_many([PICTURE] * 3, model="discs", output="instances")
        assert [len(each.prediction.instances()) async for each in answers] == [4, 4, 4]


async def test_a_stream_answers_by_name(address: str, expected: Any) -> None:
    asked = pb.PredictRequest(
        model_name="discs", image=pb.Image(tensor=to_tensor(PICTURE)), output_names=["offset"]
    )
    async with grpc.aio.insecure_channel(address) as channel:
        stub: Any = DensePredictionServiceStub(channel)
        call = stub.PredictStream(iter([pb.PredictStreamRequest(id="7", request=asked)]))
        answers = [answer async for answer in call]
    (answer,) = answers
    (output,) = answer.response.outputs
    assert (answer.id, output.name) == ("7", "offset")
    np.testing.assert_allclose(to_array(output.tensor), expected["offset"], atol=1e-5)


async def test_a_file_of_a_huge_picture_holds_an_output_by_its_name(
    tiled: str, expected: Any, tmp_path: Path
) -> None:
    scan, target = tmp_path / "scan.png", tmp_path / "offset.npy"
    Image.fromarray(PICTURE).save(scan)
    plan = await blocking(
        tiled, lambda client: client.predict_huge(scan, target, model="discs", output="offset")
    )
    assert plan.pieces > 1
    np.testing.assert_allclose(np.load(target), expected["offset"], atol=1e-5)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "discs.png"
    Image.fromarray(PICTURE).save(path)
    return path


def test_the_command_saves_what_it_asks_for_by_name(
    model: Path, photo: Path, expected: Any, capsys: Any
) -> None:
    saved = photo.with_name("all.npz")
    words = ["predict", str(photo), "--local", str(model), "--save", str(saved), "--json"]
    assert main([*words, "--output", "instances", "--output", "offset"]) == 0
    assert json.loads(capsys.readouterr().out)["classes"][0]["name"] == "table"
    with np.load(saved) as arrays:
        assert set(arrays) == {"classes", "confidence", "centre", "offset"}
        np.testing.assert_allclose(arrays["offset"], expected["offset"], atol=1e-5)
    assert main([*words, "--output", "ofset"]) == 2
    assert "there is no output 'ofset'" in capsys.readouterr().err


def test_numbers_that_are_none_come_as_they_are(model: Path) -> None:
    values = np.zeros((3, 20, 20), np.float32)
    values[0, 5, 5] = np.nan
    with Client(local_connection(model)) as client:
        got = client.predict(values, output="centre").outputs["centre"]
    assert np.argwhere(np.isnan(got)).tolist() == [[0, 5, 5]]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["coarse"], "a cell every 2x2 pixels, 'logits' every 1x1; the Open Inference Protocol"),
        (
            ["inner"],
            r"shape \[1, 3, 58, 88\] .* no map on the grid of 'logits', 90x60 cells; the O",
        ),
        (["whole"], "'whole' is no map, unlike 'logits', which is served; the Open Inference"),
        (["centre", "centre"], "output 'centre' is asked for 2 times"),
        (["other"], "has no output 'other'; there are 'logits', 'centre', .*CLASS_MAP"),
    ],
)
def test_what_is_no_map_of_the_grid_is_refused(model: Path, names: list[str], said: str) -> None:
    image = pb.Image(tensor=to_tensor(PICTURE))
    asked = pb.PredictRequest(model_name="discs", image=image, output_names=names)
    channel = local_connection(model).channel()
    call = channel.unary_unary("/anyres.v1.DensePredictionService/Predict")
    try:
        with pytest.raises(LocalError, match=said) as refused:
            call(asked)
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    finally:
        channel.close()


def test_an_output_that_has_no_exact_tiles_is_refused_by_its_node_where_it_does_not_fit(
    model: Path, monkeypatch: Any
) -> None:
    for key in ("TILE", "WHOLE_IMAGE", "ACTIVATIONS"):
        monkeypatch.setenv(f"ANYRES_MEMORY_{key}", "90000")
    with Client(local_connection(model)) as client:
        assert client.predict(PICTURE, output="centre").route == "tiled"
        with pytest.raises((InvalidRequest, Overloaded), match=r"'gated'.*ReduceMean") as refused:
            client.predict(PICTURE, output=["centre", "gated"])
    assert "tiles would not be exact" in str(refused.value)


def test_an_answer_of_named_outputs_is_held_against_what_a_message_takes(
    model: Path, monkeypatch: Any
) -> None:
    monkeypatch.setenv("ANYRES_LIMITS_MESSAGE_BYTES", "65536")
    large = np.zeros((120, 120, 3), np.uint8)
    with Client(local_connection(model)) as client:
        assert client.predict(large, output="centre").outputs["centre"].nbytes == 57_600
        with pytest.raises(InvalidRequest, match="120x120 cells with output 'offset' takes"):
            client.predict(large, output="offset")


def test_a_wrong_name_names_those_there_are(model: Path) -> None:
    with Client(local_connection(model)) as client:
        with pytest.raises(InvalidRequest, match=r"'centres'; there are classes.*discs itself l"):
            client.predict(PICTURE, output="centres")
        with pytest.raises(InvalidRequest, match="instances is made of whole pictures"):
            client.predict_tiles("scan.png", model="discs", output="instances")
        with pytest.raises(NotRequested, match="ask for it with"):
            client.predict(PICTURE, output="offset").instances()


@pytest.mark.parametrize(
    ("meanings", "said"),
    [
        ({"centers": "centres"}, "there is no output 'centers'; the model has 'logits', 'centre'"),
        ({"centre": "offsets"}, "offsets have 2 channels, .* output 'centre' has 1"),
    ],
)
def test_meanings_that_no_output_can_have_are_refused(
    model: Path, tmp_path: Path, meanings: Any, said: str
) -> None:
    described = Description(name="discs", task="segmentation")
    with pytest.raises(BadRecipe, match=said):
        export(onnx.load(model), described, tmp_path, sizes=Sizes((32, 32)), meanings=meanings)
