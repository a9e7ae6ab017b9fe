"""Models come, change and go under a running server, and no request is lost over it."""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import tempfile
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from tests.server.constant import constant, put, until

from anyres_proto.anyres.v1 import dense_prediction_pb2 as pb
from anyres_proto.inference import grpc_service_pb2 as oip
from anyres_proto.inference.grpc_service_pb2_grpc import GRPCInferenceServiceStub
from anyres_proto.tensors import to_array
from anyres_server.engine.session import Engine, open_engine
from anyres_server.errors import ModelBroken, ModelNotFound
from anyres_server.model import Array, Model
from anyres_server.repository.entries import Broken

Png = Callable[[NDArray[Any]], bytes]
SWIFT = {"repository_poll_s": 0.1, "repository_settle_s": 0.1}


@pytest.fixture
def image(png: Png) -> bytes:
    return png(np.zeros((8, 8, 3), np.uint8))


async def answer(served: Any, image: bytes, model: str = "net", version: str = "") -> int | str:
    """The class that a model says, or the code of its refusal."""
    request = pb.PredictRequest(
        model_name=model, model_version=version, image=pb.Image(encoded=image)
    )
    try:
        response = await served.stub.Predict(request)
    except grpc.aio.AioRpcError as error:
        return error.code().name
    (found,) = np.unique(to_array(response.outputs[0].tensor))
    return int(found)


def entry(served: Any, name: str = "net", version: str = "1") -> Any:
    return served.server.repository.models.get(name, {}).get(version)


async def test_a_model_that_comes_is_served_and_one_that_goes_is_not(
    serve: Any, models: Path, image: bytes
) -> None:
    async with serve("grey", **SWIFT) as served:
        assert await answer(served, image) == "NOT_FOUND"
        put(models / "net.onnx", 3)
        await until(lambda: isinstance(entry(served), Model))
        assert await answer(served, image) == 3
        (models / "net.onnx").unlink()
        await until(lambda: entry(served) is None)
        assert await answer(served, image) == "NOT_FOUND"


async def test_the_kernel_tells_of_changes_long_before_the_next_look(
    serve: Any, models: Path, image: bytes
) -> None:
    async with serve(repository_poll_s="1h") as served:
        put(models / "net.onnx", 3)
        await until(lambda: isinstance(entry(served), Model))
        put(models / "net" / "2" / "model.onnx", 4)
        await until(lambda: isinstance(entry(served, version="2"), Model))


async def test_what_changes_is_told_with_all_that_there_is(serve: Any, models: Path) -> None:
    async with serve(**SWIFT) as served:
        heard: list[list[str]] = []
        served.server.repository.hear(lambda models: heard.append(sorted(models)))
        put(models / "one.onnx", 1)
        await until(lambda: heard[-1] == ["one"])
        put(models / "two.onnx", 2)
        await until(lambda: heard[-1] == ["one", "two"])
    assert heard == [[], ["one"], ["one", "two"]]


async def test_a_model_replaced_every_50_ms_under_load_loses_no_request(
    serve: Any, models: Path, image: bytes
) -> None:
    put(models / "net.onnx", 0)
    async with serve(**SWIFT) as served:
        stop = asyncio.Event()
        answers: Counter[int | str] = Counter()

        async def ask() -> None:
            while not stop.is_set():
                answers[await answer(served, image)] += 1

        async with asyncio.TaskGroup() as callers:
            for _ in range(4):
                callers.create_task(ask())
            for number in range(1, 31):
                put(models / "net.onnx", number)
                await asyncio.sleep(0.05)
            await until(lambda: 30 in answers)
            stop.set()
    assert all(isinstance(found, int) for found in answers), answers
    assert len(answers) > 3, "it was replaced while it was asked"


async def test_a_model_removed_under_load_finishes_what_was_let_in(
    serve: Any, models: Path, image: bytes
) -> None:
    put(models / "net.onnx", 5)
    async with serve(**SWIFT) as served:
        answers: Counter[int | str] = Counter()

        async def ask() -> None:
            while "NOT_FOUND" not in answers:
                answers[await answer(served, image)] += 1

        async with asyncio.TaskGroup() as callers:
            for _ in range(4):
                callers.create_task(ask())
            await until(lambda: answers[5] > 20)
            (models / "net.onnx").unlink()
    assert set(answers) == {5, "NOT_FOUND"}


class Held:
    """An engine whose runs end when they may."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.batches, self.metadata = engine.batches, engine.metadata
        self.begun, self.may_end = threading.Event(), threading.Event()

    def __call__(self, images: Array, outputs: Sequence[str], **how: Any) -> tuple[Array, ...]:
        self.begun.set()
        assert self.may_end.wait(10)
        return self._engine(images, outputs)


async def test_a_replaced_network_lives_as_long_as_its_last_request(
    serve: Any, models: Path, image: bytes
) -> None:
    opened: list[Any] = []

    def opening(path: Path, threads: int, **how: Any) -> Any:
        engine = open_engine(path, threads=threads)
        opened.append(weakref.ref(held := Held(engine) if not opened else engine))
        return held

    put(models / "net.onnx", 1)
    async with serve(opening=opening, **SWIFT) as served:
        first = opened[0]()
        begun, may_end = first.begun, first.may_end
        del first
        asked = asyncio.create_task(answer(served, image))
        assert await asyncio.to_thread(begun.wait, 10)
        put(models / "net.onnx", 2)
        await until(lambda: len(opened) == 2 and entry(served).network is opened[1]())
        gc.collect()
        assert opened[0]() is not None
        may_end.set()
        assert await asked == 1
        await until(lambda: gc.collect() >= 0 and opened[0]() is None)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda path: path.write_bytes(b"\x08 no model"), "not an ONNX model"),
        (lambda path: path.write_bytes(path.read_bytes()[:-40]), "not an ONNX model"),
        (lambda path: path.write_bytes(b""), "not an ONNX model"),
        (lambda path: onnx.save(constant(2, operator="Nothing"), path), "Nothing"),
        (lambda path: path.with_suffix(".toml").write_text("max_batch = \n"), "net.toml:1"),
        (
            lambda path: path.with_suffix(".toml").write_text("\nmax_batch = 2\n"),
            "net.toml:2: there is no setting max_batch; the nearest is max_batch_size",
        ),
    ],
    ids=["no model", "cut", "empty", "an unknown operator", "no TOML", "an unknown setting"],
)
async def test_a_broken_successor_is_told_and_what_works_serves_on(
    serve: Any, models: Path, image: bytes, spoil: Callable[[Path], object], said: str
) -> None:
    put(models / "net.onnx", 4)
    async with serve(**SWIFT) as served:
        repository = served.server.repository
        spoil(models / "net.onnx")
        await until(lambda: said in repository.trouble("net", "1"))
        assert await answer(served, image) == 4
        (summary,) = (await served.stub.ListModels(pb.ListModelsRequest())).models
        assert summary.ready
        assert said in summary.reason
        index = GRPCInferenceServiceStub(served.channel)
        (listed,) = (await index.RepositoryIndex(oip.RepositoryIndexRequest())).models
        assert (listed.state, listed.reason) == ("READY", summary.reason)
        (models / "net.toml").unlink(missing_ok=True)
        put(models / "net.onnx", 6)
        await until(lambda: not repository.trouble("net", "1"))
        assert await answer(served, image) == 6


async def test_a_broken_newer_version_is_listed_and_the_older_one_serves_on(
    serve: Any, models: Path, image: bytes
) -> None:
    put(models / "net" / "1" / "model.onnx", 1)
    (models / "net" / "model.toml").write_text('versions = "latest"\n')
    async with serve(**SWIFT) as served:
        (models / "net" / "2").mkdir()
        (models / "net" / "2" / "model.onnx").write_bytes(b"no")
        await until(lambda: isinstance(entry(served, version="2"), Broken))
        assert await answer(served, image) == 1
        put(models / "net" / "2" / "model.onnx", 2)
        await until(lambda: isinstance(entry(served, version="2"), Model))
        assert await answer(served, image) == 2
        assert await answer(served, image, version="1") == "NOT_FOUND"


async def test_a_file_is_not_read_while_somebody_writes_it(
    serve: Any, models: Path, image: bytes, tmp_path: Path
) -> None:
    """The half that is there first is a model of its own, with another answer."""
    put(tmp_path / "new.onnx", 9)
    whole = (tmp_path / "new.onnx").read_bytes()
    opened: list[Path] = []

    def opening(path: Path, threads: int, **how: Any) -> Any:
        opened.append(path)
        return open_engine(path, threads=threads)

    async with serve(opening=opening, **SWIFT) as served:
        with (models / "net.onnx").open("wb") as file:
            file.write(constant(8).SerializeToString())
            file.flush()
            await until(lambda: isinstance(entry(served), Broken))
            assert "still being written" in entry(served).reason
            assert opened == []
            file.seek(0)
            file.write(whole)
            file.truncate()
        await until(lambda: isinstance(entry(served), Model))
        assert await answer(served, image) == 9


async def test_weights_beside_a_file_are_part_of_it(
    serve: Any, models: Path, image: bytes, tmp_path: Path
) -> None:
    def write(folder: Path, number: int) -> Path:
        folder.mkdir(exist_ok=True)
        path, beside = folder / "net.onnx", "net.onnx.data"
        onnx.save(
            constant(number), path, save_as_external_data=True, location=beside, size_threshold=0
        )
        return folder / beside

    write(models, 10)
    async with serve(**SWIFT) as served:
        assert await answer(served, image) == 10
        before = (models / "net.onnx").stat()
        write(tmp_path / "new", 11).replace(models / "net.onnx.data")
        await until(lambda: isinstance(entry(served), Model))
        async with asyncio.timeout(10):
            while await answer(served, image) != 11:
                pass
        assert (models / "net.onnx").stat() == before
        os.truncate(models / "net.onnx.data", 7)
        await until(lambda: served.server.repository.trouble("net", "1") != "")
        assert await answer(served, image) == 11


async def test_a_folder_that_vanishes_takes_nothing_with_it_and_is_taken_up_again(
    serve: Any, models: Path, image: bytes, caplog: Any
) -> None:
    put(models / "net.onnx", 1)
    async with serve(**SWIFT) as served:
        away = models.with_name("away")
        os.replace(models, away)  # noqa: PTH105
        await until(lambda: "what is loaded stays" in caplog.text)
        assert await answer(served, image) == 1
        put(away / "net.onnx", 2)
        shutil.copytree(away, models)
        async with asyncio.timeout(10):
            while await answer(served, image) != 2:
                pass


def mounted(models: Path) -> None:
    """Another folder takes the place of the models'."""
    put(models.with_name("mounted") / "net.onnx", 1)
    models.rmdir()
    models.symlink_to("mounted")


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="there is no second filesystem")
async def test_a_mount_that_went_away_takes_nothing_with_it(
    serve: Any, models: Path, image: bytes, caplog: Any
) -> None:
    """What is left of it is an empty folder of another filesystem."""
    mounted(models)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as bare:
        async with serve(**SWIFT) as served:
            models.with_name("link").symlink_to(bare)
            models.with_name("link").replace(models)
            await until(lambda: "as if unmounted; what is loaded stays" in caplog.text)
            assert await answer(served, image) == 1
            put(Path(bare) / "other.onnx", 2)
            await until(lambda: isinstance(entry(served, "other"), Model))
            assert entry(served) is None
            assert await answer(served, image, "other") == 2


async def test_versions_may_be_links_and_a_link_that_turns_is_a_new_version(
    serve: Any, models: Path, image: bytes, tmp_path: Path
) -> None:
    for number in (1, 2):
        put(tmp_path / "store" / str(number) / "model.onnx", number)
    (models / "net").mkdir()
    link = models / "net" / "7"
    link.symlink_to(tmp_path / "store" / "1")
    async with serve(**SWIFT) as served:
        assert await answer(served, image, version="7") == 1
        turned = models / "net" / ".7"
        turned.symlink_to(tmp_path / "store" / "2")
        turned.rename(link)
        async with asyncio.timeout(10):
            while await answer(served, image) != 2:
                pass
        put(tmp_path / "store" / "2" / "model.onnx", 3)  # where no watch reaches
        async with asyncio.timeout(10):
            while await answer(served, image) != 3:
                pass


async def test_unloaded_a_model_is_refused_until_it_is_loaded_again(
    serve: Any, models: Path, image: bytes
) -> None:
    put(models / "net.onnx", 1)
    async with serve(**SWIFT) as served:
        repository = served.server.repository
        await repository.unload("net")
        assert entry(served).unloaded
        assert await answer(served, image) == "FAILED_PRECONDITION"
        put(models / "net.onnx", 2)
        await repository.refresh()
        assert entry(served).unloaded
        await repository.load("net")
        assert await answer(served, image) == 2
        with pytest.raises(ModelNotFound, match="there are: net"):
            await repository.load("other")
        with pytest.raises(ModelNotFound, match="there are: net"):
            await repository.unload("other")


async def test_without_a_watch_only_a_load_takes_changes_over(
    serve: Any, models: Path, image: bytes
) -> None:
    put(models / "net.onnx", 1)
    async with serve(repository_watch=False) as served:
        repository = served.server.repository
        put(models / "net.onnx", 2)
        put(models / "other.onnx", 3)
        assert await answer(served, image) == 1
        await repository.load("net")
        assert await answer(served, image) == 2
        assert await answer(served, image, "other") == "NOT_FOUND"
        await repository.load("other")
        assert await answer(served, image, "other") == 3
        (models / "net.onnx").write_bytes(b"no")
        with pytest.raises(ModelBroken, match=r"served as it was before: net\.onnx is not an ONNX"):
            await repository.load("net")
        assert await answer(served, image) == 2


async def test_whoever_writes_into_a_file_that_is_being_read_waits(
    serve: Any, models: Path, image: bytes
) -> None:
    """Cut while it is mapped, it would end the process."""
    written, waited = threading.Event(), []

    def write() -> None:
        (models / "net.onnx").write_bytes(constant(2).SerializeToString())
        written.set()

    writer = threading.Thread(target=write)

    def opening(path: Path, threads: int, **how: Any) -> Any:
        if not writer.ident:
            writer.start()
            waited.append(not written.wait(0.05))
        return open_engine(path, threads=threads)

    put(models / "net.onnx", 1)
    async with serve(opening=opening, **SWIFT) as served:
        async with asyncio.timeout(10):
            while await answer(served, image) != 2:
                pass
    writer.join()
    assert waited == [True]
