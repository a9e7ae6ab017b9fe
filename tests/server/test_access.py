"""Who may call what: bearer tokens from a file, on real servers of both protocols."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import numpy as np
import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from numpy.typing import NDArray

from anyres_proto.anyres.v1 import dense_prediction_pb2 as pb
from anyres_proto.inference import grpc_service_pb2 as oip
from anyres_proto.inference.grpc_service_pb2_grpc import GRPCInferenceServiceStub
from anyres_server.rpc.access import ADMINISTERS
from anyres_server.rpc.names import ASKED, LISTED
from anyres_server.rpc.tokens import hashed

Png = Callable[[NDArray[Any]], bytes]
UNAUTHENTICATED = grpc.StatusCode.UNAUTHENTICATED
DENIED = grpc.StatusCode.PERMISSION_DENIED


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)


ALICE, BOB, ROOT = bearer("alice's"), bearer("bob's"), bearer("root's")


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    """Alice may use unet, Bob nothing, root everything."""
    file = tmp_path / "tokens.toml"
    file.write_text(
        f"""
        [alice]
        sha256 = "{hashed("alice's")}"
        models = ["unet", "not-here"]

        [bob]
        sha256 = "{hashed("bob's")}"
        models = []

        [root]
        sha256 = "{hashed("root's")}"
        models = ["*"]
        administers = true
        """
    )
    return file


@pytest.fixture
def predict(png: Png) -> pb.PredictRequest:
    image = pb.Image(encoded=png(np.zeros((8, 8, 3), np.uint8)))
    return pb.PredictRequest(model_name="unet", image=image)


async def code(call: Any) -> grpc.StatusCode:
    """How a call ends, whether it answers once or often."""
    try:
        if hasattr(call, "__aiter__"):
            _ = [message async for message in call]
        else:
            await call
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


@pytest.mark.parametrize(
    "metadata",
    [
        (),
        bearer("mallory's"),
        bearer(""),
        (("authorization", "alice's"),),
        (("authorization", "Basic alice's"),),
        bearer("alice's" * 1000),
        (*ALICE, *BOB),
    ],
)
async def test_without_a_token_that_somebody_has_a_call_is_unauthenticated(
    serve: Any, tokens: Path, predict: pb.PredictRequest, metadata: Any
) -> None:
    async with serve("unet", access_tokens=tokens) as served:
        infer = GRPCInferenceServiceStub(served.channel)
        reflect: Any = reflection_pb2_grpc.ServerReflectionStub(served.channel)
        question = reflection_pb2.ServerReflectionRequest(list_services="")
        calls = [
            served.stub.Predict(predict, metadata=metadata),
            served.stub.PredictStream(iter([]), metadata=metadata),
            served.stub.PredictTiles(iter([]), metadata=metadata),
            served.stub.ListModels(pb.ListModelsRequest(), metadata=metadata),
            infer.ServerMetadata(oip.ServerMetadataRequest(), metadata=metadata),
            infer.RepositoryIndex(oip.RepositoryIndexRequest(), metadata=metadata),
            infer.ModelStreamInfer(iter([]), metadata=metadata),
            reflect.ServerReflectionInfo(iter([question]), metadata=metadata),
        ]
        assert {await code(call) for call in calls} == {UNAUTHENTICATED}


async def test_the_health_of_the_server_needs_no_token_that_of_a_model_does(
    serve: Any, tokens: Path
) -> None:
    async with serve("unet", access_tokens=tokens) as served:
        stub: Any = health_pb2_grpc.HealthStub(served.channel)

        async def check(name: str, metadata: Any = ()) -> grpc.StatusCode:
            return await code(
                stub.Check(health_pb2.HealthCheckRequest(service=name), metadata=metadata)
            )

        assert await check("") is grpc.StatusCode.OK
        assert await check("anyres.v1.DensePredictionService") is grpc.StatusCode.OK
        assert await check("unet") is UNAUTHENTICATED
        assert await check("no such model") is UNAUTHENTICATED
        assert await check("unet", BOB) is DENIED
        assert await check("unet", ALICE) is grpc.StatusCode.OK


async def test_which_calls_need_no_token_can_be_told(serve: Any, tokens: Path) -> None:
    free = ("inference.GRPCInferenceService/ServerLive",)
    async with serve("unet", access_tokens=tokens, access_no_token=free) as served:
        infer = GRPCInferenceServiceStub(served.channel)
        stub: Any = health_pb2_grpc.HealthStub(served.channel)
        assert await code(infer.ServerLive(oip.ServerLiveRequest())) is grpc.StatusCode.OK
        assert await code(infer.ServerReady(oip.ServerReadyRequest())) is UNAUTHENTICATED
        assert await code(stub.Check(health_pb2.HealthCheckRequest())) is UNAUTHENTICATED


async def test_a_token_opens_its_own_models_and_no_others(
    serve: Any, tokens: Path, predict: pb.PredictRequest
) -> None:
    other = pb.PredictRequest(model_name="stride4", image=predict.image)
    async with serve("unet", "stride4", access_tokens=tokens) as served:
        ask = served.stub.Predict
        assert await code(ask(predict, metadata=ALICE)) is grpc.StatusCode.OK
        assert await code(ask(predict, metadata=BOB)) is DENIED
        assert await code(ask(other, metadata=ALICE)) is DENIED
        assert await code(ask(other, metadata=ROOT)) is grpc.StatusCode.OK
        tensor = oip.ModelInferRequest(model_name="stride4")
        infer = GRPCInferenceServiceStub(served.channel).ModelInfer
        assert await code(infer(tensor, metadata=ALICE)) is DENIED
        header = pb.PredictTilesHeader(model_name="stride4")
        tiles = served.stub.PredictTiles(
            iter([pb.PredictTilesRequest(header=header)]), metadata=ALICE
        )
        assert await code(tiles) is DENIED


async def test_a_forbidden_request_of_a_stream_ends_it_and_those_before_it_are_answered(
    serve: Any, tokens: Path, predict: pb.PredictRequest
) -> None:
    other = pb.PredictRequest(model_name="stride4", image=predict.image)
    asked = [
        pb.PredictStreamRequest(id="1", request=predict),
        pb.PredictStreamRequest(id="2", request=predict),
        pb.PredictStreamRequest(id="3", request=other),
    ]
    async with serve("unet", "stride4", access_tokens=tokens) as served:
        call = served.stub.PredictStream(iter(asked), metadata=ALICE)
        answered = [await call.read(), await call.read()]
        assert await call.code() is DENIED
    assert sorted(answer.id for answer in answered) == ["1", "2"]
    assert all(answer.HasField("response") for answer in answered)


async def test_lists_show_the_callers_models_alone(serve: Any, tokens: Path) -> None:
    async with serve("unet", "stride4", access_tokens=tokens) as served:
        infer = GRPCInferenceServiceStub(served.channel)

        async def seen(metadata: Any) -> tuple[list[str], list[str], set[str]]:
            models = await served.stub.ListModels(pb.ListModelsRequest(), metadata=metadata)
            index = await infer.RepositoryIndex(oip.RepositoryIndexRequest(), metadata=metadata)
            counted = await infer.ModelStatistics(oip.ModelStatisticsRequest(), metadata=metadata)
            return (
                [model.name for model in models.models],
                [model.name for model in index.models],
                {model.name for model in counted.model_stats},
            )

        assert await seen(ALICE) == (["unet"], ["unet"], {"unet"})
        assert await seen(BOB) == ([], [], set())
        assert await seen(ROOT) == (["stride4", "unet"], ["stride4", "unet"], {"stride4", "unet"})


async def test_no_error_names_a_model_that_the_caller_may_not_see(serve: Any, tokens: Path) -> None:
    async with serve("unet", "stride4", access_tokens=tokens) as served:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await served.stub.GetModel(pb.GetModelRequest(name="not-here"), metadata=ALICE)
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        assert (
            caught.value.details() == "no such model or version is here; yours are: unet, not-here"
        )
        for name in ("stride4", "nobody's"):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await served.stub.GetModel(pb.GetModelRequest(name=name), metadata=ALICE)
            assert caught.value.details() == (
                f"alice may not use model {name!r}; may use: unet, not-here"
            )


async def test_only_those_who_administer_may_change_the_server(serve: Any, tokens: Path) -> None:
    async with serve("unet", access_tokens=tokens) as served:
        infer = GRPCInferenceServiceStub(served.channel)
        question = oip.LogSettingsRequest()
        assert await code(infer.LogSettings(question, metadata=ALICE)) is DENIED
        assert await code(infer.LogSettings(question, metadata=ROOT)) is not DENIED
        unload = oip.RepositoryModelUnloadRequest(model_name="unet")
        assert await code(infer.RepositoryModelUnload(unload, metadata=ALICE)) is DENIED


async def test_a_changed_file_of_tokens_holds_without_a_restart_and_a_broken_one_does_not(
    serve: Any, tokens: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with serve("unet", access_tokens=tokens) as served:

        async def answer(token: str) -> grpc.StatusCode:
            return await code(
                served.stub.ListModels(pb.ListModelsRequest(), metadata=bearer(token))
            )

        async with asyncio.timeout(10):
            said = await asyncio.to_thread(tokens.read_text)
            await asyncio.to_thread(tokens.write_text, "this is no [TOML")
            while "the old go on" not in caplog.text:
                assert await answer("alice's") is grpc.StatusCode.OK
            new = said.replace(hashed("alice's"), hashed("alice's new one"))
            await asyncio.to_thread(tokens.write_text, new)
            while await answer("alice's") is not UNAUTHENTICATED:
                pass  # each question is a round trip, in which the server may go on
            assert await answer("alice's new one") is grpc.StatusCode.OK


async def test_without_a_file_of_tokens_everyone_may_ask(serve: Any) -> None:
    async with serve("unet") as served:
        assert await code(served.stub.ListModels(pb.ListModelsRequest())) is grpc.StatusCode.OK


async def test_reflection_can_be_switched_off(serve: Any) -> None:
    question = reflection_pb2.ServerReflectionRequest(list_services="")
    for wanted, expected in ((True, grpc.StatusCode.OK), (False, grpc.StatusCode.UNIMPLEMENTED)):
        async with serve("unet", access_reflection=wanted) as served:
            stub: Any = reflection_pb2_grpc.ServerReflectionStub(served.channel)
            assert await code(stub.ServerReflectionInfo(iter([question]))) is expected


def test_every_message_that_names_a_model_is_known_to_name_it() -> None:
    """A call that is added later cannot forget to ask for rights."""
    named = {
        "anyres.v1.PredictStreamRequest",  # names it one message deeper
        "anyres.v1.PredictTilesRequest",
    }
    regions = ("SystemSharedMemory", "CudaSharedMemory")
    for file in (pb.DESCRIPTOR, oip.DESCRIPTOR):
        for service in file.services_by_name.values():
            for method in service.methods:
                request = method.input_type
                regional = method.name in ADMINISTERS and method.name.startswith(regions)
                if {"model_name", "name"} & set(request.fields_by_name) and not regional:
                    named.add(request.full_name)
    assert named == set(ASKED)


def test_every_answer_that_lists_models_is_known_to_list_them() -> None:
    listing = {
        method.output_type.full_name
        for file in (pb.DESCRIPTOR, oip.DESCRIPTOR)
        for service in file.services_by_name.values()
        for method in service.methods
        if any(_is_model(field) for field in method.output_type.fields)
    }
    assert listing == set(LISTED)


def _is_model(field: FieldDescriptor) -> bool:
    kind: Descriptor | None = field.message_type
    return bool(
        field.is_repeated
        and kind
        and kind.name in {"ModelSummary", "ModelIndex", "ModelStatistics"}
    )
