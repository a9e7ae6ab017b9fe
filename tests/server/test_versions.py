"""Which versions of a model are served: all, the latest that work, or those that are named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.server.constant import put, until

from anyres_proto.anyres.v1 import dense_prediction_pb2 as pb
from anyres_proto.inference import grpc_service_pb2 as oip
from anyres_proto.inference.grpc_service_pb2_grpc import GRPCInferenceServiceStub
from anyres_server.errors import ModelBroken, ModelNotFound
from anyres_server.model import Model

OpenInference: Any = GRPCInferenceServiceStub
SWIFT = {"repository_poll_s": 0.1, "repository_settle_s": 0.1}


@pytest.fixture
def three(models: Path) -> Path:
    for version in (1, 2, 10):
        put(models / "net" / str(version) / "model.onnx", version)
    return models


@pytest.mark.parametrize(
    ("policy", "served"),
    [
        ("all", ["1", "2", "10"]),
        ("latest", ["10"]),
        ("latest 2", ["2", "10"]),
        ("latest(2)", ["2", "10"]),
        ([1, 10], ["1", "10"]),
        ([3], ["3"]),  # listed, and why it is not there
        ([1, 3], ["1", "3"]),
    ],
)
async def test_the_servers_policy_holds_for_every_model(
    serve: Any, three: Path, policy: Any, served: list[str]
) -> None:
    async with serve(repository_versions=policy) as running:
        assert list(running.server.repository.models.get("net", {})) == served


async def test_that_a_version_is_missing_is_said_once(serve: Any, three: Path, caplog: Any) -> None:
    async with serve(repository_versions=[3]) as running:
        repository = running.server.repository
        for _ in range(3):
            await repository.refresh()
        said = "the settings ask for version 3, which is not there; there are: 1, 2, 10"
        assert caplog.text.count(said) == 1
        with pytest.raises(ModelBroken, match=said):
            repository.get("net")
        put(three / "net" / "3" / "model.onnx", 3)
        await repository.refresh()
        assert repository.get("net").version == "3"


async def test_a_models_own_policy_goes_before_the_servers(serve: Any, three: Path) -> None:
    (three / "net" / "model.toml").write_text("versions = [1]\n")
    async with serve(repository_versions="latest") as running:
        repository = running.server.repository
        assert list(repository.versions("net")) == ["1"]
        with pytest.raises(ModelNotFound, match="no version '10'"):
            repository.get("net", "10")


async def test_the_latest_are_those_that_work(serve: Any, three: Path) -> None:
    (three / "net" / "10" / "model.onnx").write_bytes(b"no")
    async with serve(repository_versions="latest 2") as running:
        entries = running.server.repository.versions("net")
        assert {version: isinstance(entry, Model) for version, entry in entries.items()} == {
            "1": True,
            "2": True,
            "10": False,
        }


async def test_a_policy_that_changes_is_followed(serve: Any, three: Path) -> None:
    settings = three / "net" / "model.toml"
    async with serve(repository_versions="latest", **SWIFT) as running:
        repository = running.server.repository
        kept = repository.get("net", "10")
        settings.write_text('versions = "all"\n')
        await until(lambda: list(repository.models["net"]) == ["1", "2", "10"])
        settings.write_text("versions = [2]\n")
        await until(lambda: list(repository.models["net"]) == ["2"])
    assert kept.settings.versions is None


@pytest.mark.parametrize("wish", ["[7]", "[7, 8]", "[2]"])
async def test_a_wish_for_versions_that_cannot_be_served_takes_none_out_of_service(
    serve: Any, three: Path, wish: str
) -> None:
    settings = three / "net" / "model.toml"
    settings.write_text("versions = [1, 10]\n")
    (three / "net" / "2" / "model.onnx").write_bytes(b"no")
    async with serve(repository_watch=False) as running:
        repository, channel = running.server.repository, running.channel
        before = repository.get("net", "10")
        settings.write_text(f"versions = {wish}\n")
        await repository.refresh()
        assert repository.get("net") is before
        assert isinstance(repository.get("net", "1"), Model)
        why = (
            "is not an ONNX model"
            if wish == "[2]"
            else "the settings ask for version 7, which is not there"
        )
        assert why in repository.trouble("net", "10")
        (shown,) = (await running.stub.ListModels(pb.ListModelsRequest())).models
        assert (shown.ready, why in shown.reason) == (True, True)
        index = await OpenInference(channel).RepositoryIndex(oip.RepositoryIndexRequest())
        listed = {each.version: (each.state, why in each.reason) for each in index.models}
        assert listed["10"] == ("READY", True)
        assert listed[wish[1]] == ("UNAVAILABLE", True)
        with pytest.raises(ModelBroken, match="as it was before: .*" + why):
            await repository.load("net")
        assert repository.get("net") is before
        settings.write_text("versions = [1]\n")
        await repository.refresh()
        assert list(repository.versions("net")) == ["1"]
        assert repository.trouble("net", "1") == ""


async def test_what_is_removed_is_not_served_on_whatever_is_wished_for(
    serve: Any, three: Path
) -> None:
    async with serve(repository_watch=False) as running:
        repository = running.server.repository
        (three / "net" / "model.toml").write_text("versions = [7]\n")
        (three / "net" / "10" / "model.onnx").unlink()
        await repository.refresh()
        assert list(repository.versions("net")) == ["1", "2", "7"]
        assert repository.get("net").version == "2"


async def test_of_1_and_01_the_first_is_served_and_the_other_is_told(
    serve: Any, models: Path
) -> None:
    for version in ("001", "1", "01", "02"):
        put(models / "net" / version / "model.onnx", 1)
    async with serve() as running:
        entries = running.server.repository.versions("net")
        served = [version for version, entry in entries.items() if isinstance(entry, Model)]
        assert served == ["1", "02"]
        with pytest.raises(ModelBroken, match="version 01 is 1 again, which is there, too; remove"):
            running.server.repository.get("net", "01")


async def test_a_models_settings_are_its_own(serve: Any, models: Path) -> None:
    put(models / "net.onnx", 1)
    put(models / "other.onnx", 1)
    (models / "net.toml").write_text('max_batch_size = 3\nmax_queue_delay_s = "5 ms"\n')
    async with serve() as running:
        repository = running.server.repository
        own = repository.get("net").settings
        assert (own.max_batch_size, own.max_queue_delay_s) == (3, 0.005)
        assert repository.get("other").settings.max_batch_size is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("max_batch_size = 0\n", "net.toml:1: max_batch_size: expected greater than or equal to 1"),
        ("# ours\n\nversions = 'newest'\n", 'net.toml:3: versions: expected "all", "latest"'),
        ("max_queue_delay_s = '5 potatoes'\n", "net.toml:1: max_queue_delay_s: expected seconds"),
        ("warm_up = ['8']\n", "net.toml:1: warm_up: expected a size in pixels, WIDTHxHEIGHT"),
        ("a = [\n", "net.toml"),
        ("\xff", "net.toml is no UTF-8"),
    ],
)
async def test_a_mistake_in_a_models_settings_breaks_that_model_alone(
    serve: Any, models: Path, text: str, said: str
) -> None:
    put(models / "net.onnx", 1)
    put(models / "other.onnx", 1)
    (models / "net.toml").write_bytes(text.encode("latin-1"))
    async with serve() as running:
        (entry,) = running.server.repository.versions("net").values()
        assert said in entry.reason
        assert isinstance(running.server.repository.get("other"), Model)
