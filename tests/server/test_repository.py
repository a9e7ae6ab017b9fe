"""A folder becomes a repository: names, versions, cards, and files that are not what they claim."""

from __future__ import annotations

from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from anyres_analyzer import analyze
from anyres_proto.card import METADATA_KEY
from anyres_server.engine.session import open_engine
from anyres_server.errors import ModelBroken, ModelNotFound, StartFailed
from anyres_server.model import LoadedNetwork
from anyres_server.repository.loading import loader
from anyres_server.repository.opening import repository_of
from anyres_server.repository.repository import Repository
from anyres_server.settings.per_model import ModelSettings
from anyres_server.settings.sections import RepositorySettings


@asynccontextmanager
async def _lent(amount: int) -> AsyncIterator[None]:
    yield


def opened(path: Path, settings: ModelSettings) -> LoadedNetwork:
    return open_engine(path, threads=1)


async def load(folder: Path, **settings: Any) -> Repository:
    with ThreadPoolExecutor(1) as pool:
        repository = repository_of(
            folder,
            RepositorySettings.model_validate({"warm_up_s": 0} | settings),
            pool=pool,
            load=loader(opened, analyze),
            lent=_lent,
            note=lambda *measured: None,
        )
        await repository.start()
    return repository


@pytest.fixture
def versions(models: Path, save_model: Any) -> Path:
    """Model `net` in versions 2 and 10, and `grey` as a file of its own."""
    for version in ("2", "10", "draft"):
        place = models / "net" / version
        place.mkdir(parents=True)
        save_model("stride4").rename(place / "model.onnx")
    save_model("grey")
    return models


async def test_without_a_version_the_newest_by_number_is_meant(versions: Path) -> None:
    repository = await load(versions)
    assert list(repository.versions("net")) == ["2", "10"]
    assert repository.get("net").version == "10"
    assert repository.get("net", "2").version == "2"
    assert repository.get("grey").version == "1"


async def test_the_newest_that_works_stands_in_for_a_newer_one_that_is_broken(
    versions: Path,
) -> None:
    (versions / "net" / "10" / "model.onnx").write_bytes(b"")
    repository = await load(versions)
    assert repository.get("net").version == "2"
    with pytest.raises(ModelBroken, match="not an ONNX model"):
        repository.get("net", "10")


async def test_an_unknown_name_or_version_is_answered_with_those_there_are(versions: Path) -> None:
    repository = await load(versions)
    with pytest.raises(ModelNotFound, match="there are: grey, net"):
        repository.get("nett")
    with pytest.raises(ModelNotFound, match="no version '3'; there are 2, 10"):
        repository.get("net", "3")


async def test_two_files_that_claim_one_version_are_both_left_alone(
    models: Path, save_model: Any
) -> None:
    place = models / "grey" / "1"
    place.mkdir(parents=True)
    save_model("grey").rename(place / "model.onnx")
    save_model("grey")
    with pytest.raises(ModelBroken, match="two files claim"):
        (await load(models)).get("grey")


async def test_a_file_without_a_card_gets_one_from_its_graph(models: Path, save_model: Any) -> None:
    save_model("stride4")
    card = (await load(models)).get("stride4").card
    assert (card.task, card.input.colour) == ("unknown", "RGB")
    assert list(card.output.stride) == [4, 4]
    assert card.tiling.exact
    assert card.parameters == 4 * 3 * 9 + 4 + 5 * 4 * 9 + 5


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "card is wrong at the whole"),
        ('{"name": "x", "task": "painting"}', "card is wrong at task"),
    ],
)
async def test_a_card_that_is_wrong_is_said_to_be_wrong_and_where(
    models: Path, save_model: Any, text: str, problem: str
) -> None:
    path = save_model("grey")
    model = onnx.load(path)
    onnx.helper.set_model_props(model, {METADATA_KEY: text})
    onnx.save(model, path)
    with pytest.raises(ModelBroken, match=problem):
        (await load(models)).get("grey")


async def test_a_card_that_contradicts_its_graph_is_not_served(
    models: Path, save_model: Any
) -> None:
    save_model("grey", outputs=[{"name": "y", "channels": 7, "dense": True}])
    with pytest.raises(ModelBroken, match=r"served are \(n, 7\)"):
        (await load(models)).get("grey")


@pytest.mark.parametrize(
    ("taken", "given", "said"),
    [
        ("int64", "float", "'x' is a tensor(int64); taken are tensor(float) and tensor(uint8)"),
        ("float", "string", "'y' is a tensor(string); given are tensors of numbers"),
    ],
)
async def test_what_is_no_image_or_no_numbers_is_not_served(
    models: Path, taken: str, given: str, said: str
) -> None:
    text = f"""<ir_version: 8, opset_import: ["" : 17]>
    net ({taken}[N,3,H,W] x) => ({given}[N,3,P,Q] y)
    {{ y = Cast <to={1 if given == "float" else 8}> (x) }}"""
    onnx.save(onnx.parser.parse_model(text), models / "net.onnx")
    with pytest.raises(ModelBroken) as caught:
        (await load(models)).get("net")
    assert said in str(caught.value)


@pytest.mark.parametrize(("given", "number"), [("float16", 10), ("double", 11), ("int64", 7)])
async def test_numbers_of_other_types_are_served(models: Path, given: str, number: int) -> None:
    text = f"""<ir_version: 8, opset_import: ["" : 17]>
    net (float[N,3,H,W] x) => (float[N,3,P,Q] y, {given}[N,3,R,S] z)
    {{ y = Relu (x) z = Cast <to={number}> (x) }}"""
    onnx.save(onnx.parser.parse_model(text), models / "net.onnx")
    card = (await load(models)).get("net").card
    assert [output.dtype for output in card.outputs] == ["float32", np.dtype(given).name]


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("dtype", "uint8", "input 'x' is uint8 NCHW of 1 channels; its graph takes 'x', float32"),
        ("layout", "NHWC", "input 'x' is float32 NHWC"),
        ("name", "z", "input 'z' is float32 NCHW"),
    ],
)
async def test_a_card_whose_input_is_not_its_graphs_is_not_served(
    models: Path, save_model: Any, field: str, value: str, said: str
) -> None:
    grey = {"name": "x", "channels": 1, "colour": "GRAY", "mean": [0], "std": [1]}
    save_model("grey", input=grey)
    assert (await load(models)).get("grey").card.input.name == "x"
    save_model("grey", input=grey | {field: value})
    with pytest.raises(ModelBroken) as caught:
        (await load(models)).get("grey")
    assert said in str(caught.value)


async def test_a_card_that_speaks_of_other_outputs_is_not_served(
    models: Path, save_model: Any
) -> None:
    save_model("grey", outputs=[{"name": "z", "channels": 2, "dense": True}])
    with pytest.raises(ModelBroken, match=r"output 'z' \(float32\); its graph gives 'y'"):
        (await load(models)).get("grey")


LIES: dict[str, dict[str, Any]] = {
    "along the height need starts at multiples of 4 and halos of 0 and 0 pixels; its graph needs "
    "starts at multiples of 4 and halos of": {"halo_before": 0, "halo_after": 0},
    "along the height need starts at multiples of 2": {"alignment": 2},
}


@pytest.mark.parametrize("said", LIES)
async def test_a_card_by_whose_rule_tiles_would_be_wrong_is_not_served(
    models: Path, save_model: Any, network: Any, said: str
) -> None:
    tiling = asdict(analyze(network("stride4")).tiling)
    wider = {axis: tiling[axis] | {"halo_before": 64} for axis in ("height", "width")}
    save_model("stride4", tiling=tiling | wider)
    assert (await load(models)).get("stride4").card.tiling.exact
    save_model("stride4", tiling=tiling | {"height": tiling["height"] | LIES[said]})
    with pytest.raises(ModelBroken, match=said):
        (await load(models)).get("stride4")


async def test_a_card_that_cuts_what_cannot_be_cut_is_not_served(
    models: Path, save_model: Any
) -> None:
    axis = {"alignment": 4, "halo_before": 8, "halo_after": 8}
    save_model("gated", tiling={"height": axis, "width": axis})
    with pytest.raises(ModelBroken, match=r"its graph's are not: .*GlobalAveragePool"):
        (await load(models)).get("gated")


async def test_a_card_with_another_stride_is_not_served(models: Path, save_model: Any) -> None:
    output = {"name": "y", "channels": 5, "dense": True, "stride": [2, 2]}
    save_model("stride4", outputs=[output])
    with pytest.raises(
        ModelBroken, match=r"has stride 2, 2 \(height, width\); its graph's has 4, 4"
    ):
        (await load(models)).get("stride4")


async def test_an_output_that_is_constant_is_served_beside_the_others(models: Path) -> None:
    text = """<ir_version: 8, opset_import: ["" : 17]>
    net (float[N,3,H,W] x) => (float[N,3,P,Q] y, float[2] sizes) <float[2] s = {1.0, 2.0}>
    { y = Relu (x) sizes = Identity (s) }"""
    onnx.save(onnx.parser.parse_model(text), models / "net.onnx")
    model = (await load(models)).get("net")
    assert model.cost((8, 8)).activation_bytes > 0


async def test_a_reason_names_the_file_and_not_where_it_lies(models: Path) -> None:
    (models / "cut.onnx").write_bytes(b"\x08")
    with pytest.raises(ModelBroken) as caught:
        (await load(models)).get("cut")
    assert "cut.onnx" in str(caught.value)
    assert str(models) not in str(caught.value)


async def test_a_folder_that_is_not_there_is_a_reason_not_to_start(tmp_path: Path) -> None:
    with pytest.raises(StartFailed, match="no folder"):
        await load(tmp_path / "nowhere")
