"""The log: who asked stands in each line, and nobody but us begins one."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from asyncio.subprocess import PIPE
from collections.abc import Callable, Mapping
from contextvars import copy_context
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest
from opentelemetry.trace import NoOpTracer

from anyres_proto.anyres.v1 import dense_prediction_pb2 as pb
from anyres_proto.anyres.v1.dense_prediction_pb2_grpc import DensePredictionServiceStub
from anyres_server.observe import asked
from anyres_server.observe.asked import Asked
from anyres_server.observe.logs import Json, Text

FORGED = 'x\n{"level": "error", "message": "forged"}\r\u2028\x1b[31mred'


def record(message: str, *arguments: object, failed: bool = False) -> logging.LogRecord:
    error = ValueError(FORGED)
    info = (ValueError, error, None) if failed else None
    return logging.LogRecord("anyres.test", logging.INFO, __file__, 1, message, arguments, info)


def during(request: Asked, work: Callable[[], str]) -> str:
    def begun() -> str:
        asked.begin(request)
        return work()

    return copy_context().run(begun)


@pytest.fixture
def request_() -> Asked:
    return Asked("Predict", "id-1", lambda event: None, NoOpTracer(), "alice", "unet")


def test_a_json_line_is_one_object_whatever_callers_send(request_: Asked) -> None:
    line = during(request_, lambda: Json().format(record("model %s", FORGED, failed=True)))
    assert len(line.splitlines()) == 1
    said = json.loads(line)
    assert said["message"] == f"model {FORGED}"
    assert "ValueError" in said.pop("traceback")
    assert {key: said[key] for key in ("level", "logger", "request_id", "call")} == {
        "level": "info",
        "logger": "anyres.test",
        "request_id": "id-1",
        "call": "Predict",
    }
    assert (said["model"], said["caller"]) == ("unet", "alice")


def test_a_line_for_people_cannot_be_broken_either(request_: Asked) -> None:
    line = during(request_, lambda: Text().format(record("model %s", FORGED)))
    assert len(line.splitlines()) == 1
    assert "\x1b" not in line
    assert line.startswith("INFO anyres.test: model x\\n{")
    assert line.endswith(" [id-1]")


def test_outside_of_any_request_a_line_has_no_id() -> None:
    assert Text().format(record("hello")) == "INFO anyres.test: hello"
    assert "request_id" not in json.loads(Json().format(record("hello")))


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("7b1f-42_x.Y:/+=@z", True),
        ("a" * 128, True),
        ("a" * 129, False),
        ("two words", False),
        ('"quoted"', False),
        ("", False),
    ],
)
async def test_a_request_id_goes_back_as_it_came_if_it_is_one(
    serve: Any, sent: str, kept: bool
) -> None:
    async with serve("unet") as served:
        call = served.stub.ListModels(pb.ListModelsRequest(), metadata=(("x-request-id", sent),))
        await call
        answered = dict(await call.trailing_metadata())["x-request-id"]
        assert (answered == sent) is kept
        assert answered
        failed = served.stub.GetModel(
            pb.GetModelRequest(name="nobody's"), metadata=(("x-request-id", sent),)
        )
        assert await failed.code() is not None
        assert (dict(await failed.trailing_metadata())["x-request-id"] == sent) is kept


async def test_every_call_without_an_id_gets_one_of_its_own(serve: Any) -> None:
    async with serve("unet") as served:
        calls = [served.stub.ListModels(pb.ListModelsRequest()) for _ in range(3)]
        await asyncio.gather(*calls)
        ids = {dict(await call.trailing_metadata())["x-request-id"] for call in calls}
    assert len(ids) == 3


@pytest.mark.slow
async def test_the_command_logs_json_with_ids_where_it_is_told_to(models: Path) -> None:
    environment = {
        "ANYRES_OBSERVE_LOG_FORMAT": "json",
        "ANYRES_OBSERVE_LOG_CALLS": "true",
        "PATH": "",
    }
    command = (sys.executable, "-m", "anyres_client.main", "serve", str(models), "--port", "0")
    running = await asyncio.create_subprocess_exec(
        *command, stdout=PIPE, stderr=PIPE, env=environment
    )
    assert running.stdout is not None
    address = (await running.stdout.readline()).decode().removeprefix("listening on ").strip()
    async with grpc.aio.insecure_channel(address) as channel:
        stub: Any = DensePredictionServiceStub(channel)
        await stub.ListModels(pb.ListModelsRequest(), metadata=(("x-request-id", "mine"),))
    running.terminate()
    _, err = await asyncio.wait_for(running.communicate(), 20)
    lines: list[Mapping[str, Any]] = [json.loads(line) for line in err.decode().splitlines()]
    ours = [line for line in lines if line.get("request_id") == "mine"]
    assert [line["message"].rpartition(" in ")[0] for line in ours] == ["ListModels OK"]
    assert ours[0]["call"] == "ListModels"


async def test_who_watches_no_more_is_no_call_that_was_broken_off(
    serve: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Every client watches the server's health, and leaves when it has what it came for."""
    caplog.set_level(logging.DEBUG, "anyres_server.rpc.telling")
    async with serve("unet") as served:
        stub: Any = health_pb2_grpc.HealthStub(served.channel)
        watch = stub.Watch(HealthCheckRequest())
        await watch.read()
        watch.cancel()
        await served.stub.ListModels(pb.ListModelsRequest())
    told = [line.getMessage().split()[0] for line in caplog.records]
    assert "ListModels" in told
    assert "Watch" not in told
