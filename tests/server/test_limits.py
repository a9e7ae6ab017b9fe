"""How much is taken, and what is refused before a byte of it is read."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import numpy as np
import pytest
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from numpy.typing import NDArray

from anyres_proto.anyres.v1 import dense_prediction_pb2 as pb
from anyres_server.machine import mib, resident_bytes
from anyres_server.rpc.messages import Messages
from anyres_server.rpc.rates import Rate
from anyres_server.rpc.tokens import Rights, as_toml, hashed

Png = Callable[[NDArray[Any]], bytes]
EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED
ALICE = (("authorization", "Bearer alice's"),)
BOB = (("authorization", "Bearer bob's"),)


@pytest.fixture
def predict(png: Png) -> pb.PredictRequest:
    image = pb.Image(encoded=png(np.zeros((100, 100, 3), np.uint8)))
    return pb.PredictRequest(model_name="unet", image=image)


def tokens(folder: Path, **alice: Any) -> Path:
    """Alice, limited so; and Bob, who is not."""
    file = folder / "tokens.toml"
    file.write_text(
        as_toml("alice", Rights(sha256=hashed("alice's"), models=("*",), **alice))
        + as_toml("bob", Rights(sha256=hashed("bob's"), models=("*",)))
    )
    return file


async def refusal(call: Any) -> tuple[grpc.StatusCode, str, dict[str, str]]:
    """How a call ends, in what words, and its hints."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        hints = {key: str(value) for key, value in error.trailing_metadata()}
        return error.code(), error.details() or "", hints
    return grpc.StatusCode.OK, "", {}


async def test_more_requests_a_second_than_allowed_are_refused_with_a_time_to_come_again(
    serve: Any, predict: pb.PredictRequest
) -> None:
    async with serve("unet", limits_requests_per_s=0.01) as served:
        assert (await refusal(served.stub.Predict(predict)))[0] is grpc.StatusCode.OK
        code, words, hints = await refusal(served.stub.Predict(predict))
    assert code is EXHAUSTED
    assert re.fullmatch(
        r"all callers may ask for 0\.01 requests a second; try again in \S+ s", words
    )
    assert 90_000 < int(hints["grpc-retry-pushback-ms"]) <= 100_000


async def test_more_megapixels_a_second_than_allowed_are_refused_once_they_are_known(
    serve: Any, predict: pb.PredictRequest
) -> None:
    """The first picture, of 0.01 megapixels, leaves a debt that takes long to pay back."""
    async with serve("unet", limits_megapixels_per_s=1e-5) as served:
        ends = []
        for _ in range(200):
            ends.append(await refusal(served.stub.Predict(predict)))
            if ends[-1][0] is not grpc.StatusCode.OK:
                break
    assert ends[-1][0] is EXHAUSTED
    assert "megapixels a second" in ends[-1][1]


async def test_one_callers_limit_is_no_others(
    serve: Any, predict: pb.PredictRequest, tmp_path: Path
) -> None:
    file = tokens(tmp_path, requests_per_s=0.01)
    async with serve("unet", access_tokens=file) as served:
        ask = served.stub.Predict
        assert (await refusal(ask(predict, metadata=ALICE)))[0] is grpc.StatusCode.OK
        code, words, _ = await refusal(ask(predict, metadata=ALICE))
        assert (code, words[:14]) == (EXHAUSTED, "alice may ask ")
        for _ in range(3):
            assert (await refusal(ask(predict, metadata=BOB)))[0] is grpc.StatusCode.OK


async def test_one_callers_calls_at_once_are_limited(serve: Any, tmp_path: Path) -> None:
    file = tokens(tmp_path, requests=1)
    async with serve("unet", access_tokens=file) as served:
        stream = served.stub.PredictStream(metadata=ALICE)
        await stream.write(pb.PredictStreamRequest(id="1"))
        assert (await stream.read()).id == "1"  # it is inside
        question = pb.ListModelsRequest()
        code, words, _ = await refusal(served.stub.ListModels(question, metadata=ALICE))
        assert (code, words) == (
            EXHAUSTED,
            "the queue is full (1 requests of alice); try again later",
        )
        assert (await refusal(served.stub.ListModels(question, metadata=BOB)))[0] is (
            grpc.StatusCode.OK
        )
        await stream.done_writing()
        assert await stream.read() is grpc.aio.EOF
        assert (await refusal(served.stub.ListModels(question, metadata=ALICE)))[0] is (
            grpc.StatusCode.OK
        )


async def test_more_streams_than_allowed_are_refused_and_questions_still_answered(
    serve: Any,
) -> None:
    async with serve("unet", limits_streams=1) as served:
        first = served.stub.PredictStream()
        await first.write(pb.PredictStreamRequest(id="1"))
        await first.read()
        second = served.stub.PredictStream(iter([]))
        assert await second.code() is EXHAUSTED
        assert (await refusal(served.stub.ListModels(pb.ListModelsRequest())))[0] is (
            grpc.StatusCode.OK
        )
        first.cancel()


async def test_a_request_beyond_the_gate_is_refused_while_its_message_is_not_read(
    serve: Any,
) -> None:
    """One caller is inside and sends nothing; the other has sent no message at all, and is told."""
    async with serve("unet", limits_requests=1) as served:
        path = "/anyres.v1.DensePredictionService/Predict"
        inside = served.channel.stream_unary(path)()
        await inside.wait_for_connection()
        outside = served.channel.stream_unary(path)()
        assert await asyncio.wait_for(outside.code(), 10) is EXHAUSTED
        inside.cancel()


async def test_a_message_that_does_not_arrive_in_time_ends_its_call(serve: Any) -> None:
    async with serve("unet", limits_message_s=0.05) as served:
        slow = served.channel.stream_unary("/anyres.v1.DensePredictionService/Predict")()
        assert await asyncio.wait_for(slow.code(), 10) is grpc.StatusCode.INVALID_ARGUMENT
        assert await slow.details() == "the message did not arrive within 0.05 s"


@pytest.mark.parametrize("packing", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
async def test_a_message_over_the_limit_is_refused_packed_or_not_and_leaves_no_trace_in_the_log(
    serve: Any, packing: grpc.Compression, caplog: pytest.LogCaptureFixture
) -> None:
    """Packed, zeros are a thousandth of what they unpack to."""
    request = pb.PredictRequest(model_name="unet", image=pb.Image(encoded=bytes(2**23)))
    async with serve("unet", limits_message_bytes=2**20) as served:
        call = served.stub.Predict(request, compression=packing)
        assert await asyncio.wait_for(call.code(), 20) is EXHAUSTED
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_who_leaves_while_an_answer_is_written_leaves_no_error_in_the_log(
    serve: Any, predict: pb.PredictRequest, caplog: pytest.LogCaptureFixture
) -> None:
    asked = [pb.PredictStreamRequest(id=str(i), request=predict) for i in range(30)]
    async with serve("unet") as served:
        for leaves_after in range(1, 6):
            stream = served.stub.PredictStream(iter(asked))
            answers = aiter(stream)
            for _ in range(leaves_after):
                await anext(answers)
            stream.cancel()
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


class Scale:
    """A process that holds as much as we say; what is free goes back when it is trimmed."""

    def __init__(self) -> None:
        self.held, self.free, self.trims = 0, 0, 0

    def weigh(self) -> int:
        return self.held + self.free

    def trim(self) -> None:
        self.free = 0
        self.trims += 1


class Sender:
    """A call whose message comes when we say."""

    def __init__(self) -> None:
        self.message: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def read(self) -> bytes:
        return await self.message


async def test_no_message_is_read_while_the_process_holds_too_much() -> None:
    scale = Scale()
    messages = Messages(100, scale.weigh, scale.trim)
    scale.held = 101
    with pytest.raises(Exception, match="reads no message before it holds less"):
        await messages.next(Sender())  # type: ignore[arg-type]
    scale.held = 99
    sender = Sender()
    sender.message.set_result(b"here")
    assert await messages.next(sender) == b"here"  # type: ignore[arg-type]


async def test_a_server_that_holds_too_much_takes_no_work_and_says_that_it_lives(
    serve: Any, predict: pb.PredictRequest
) -> None:
    """It lives in the test's own process, so whatever is held here is held by it."""
    most = resident_bytes() + 2**26
    async with serve("unet", memory_resident=most) as served:
        assert (await served.stub.Predict(predict)).outputs
        ballast = np.ones(2**27, np.uint8)
        health: Any = health_pb2_grpc.HealthStub(served.channel)
        code, words, hints = await refusal(served.stub.Predict(predict))
        assert (code, words.partition(";")[0]) == (
            EXHAUSTED,
            f"the server holds more than {mib(most)} and reads no message before it holds less",
        )
        assert int(hints["grpc-retry-pushback-ms"]) > 0
        assert (await health.Check(HealthCheckRequest())).status == HealthCheckResponse.SERVING
        large = HealthCheckRequest(service="x" * 100_000)
        assert (await refusal(health.Check(large)))[0] is EXHAUSTED
        del ballast
        assert (await served.stub.Predict(predict)).outputs


async def test_an_upload_that_stands_still_is_given_up_and_a_quiet_dialogue_is_not(
    serve: Any, predict: pb.PredictRequest
) -> None:
    async with serve("unet", limits_message_s=0.05) as served, asyncio.timeout(10):
        dialogue = served.stub.PredictStream()
        await dialogue.write(pb.PredictStreamRequest(id="1", request=predict))
        assert (await dialogue.read()).id == "1"
        upload = served.stub.PredictTiles()
        header = pb.PredictTilesHeader(model_name="unet")
        await upload.write(pb.PredictTilesRequest(header=header))
        assert await upload.code() is grpc.StatusCode.INVALID_ARGUMENT
        await dialogue.write(pb.PredictStreamRequest(id="2", request=predict))
        assert (await dialogue.read()).id == "2"
        await dialogue.done_writing()


async def test_what_the_allocator_kept_goes_back_before_anybody_is_turned_away() -> None:
    scale = Scale()
    scale.free = 500
    sender = Sender()
    sender.message.set_result(b"here")
    assert await Messages(100, scale.weigh, scale.trim).next(sender) == b"here"  # type: ignore[arg-type]
    assert scale.trims == 1


async def test_of_those_who_send_when_it_becomes_too_much_the_first_go_on() -> None:
    scale = Scale()
    messages = Messages(100, scale.weigh, scale.trim)
    senders = [Sender() for _ in range(8)]
    async with messages.watched(), asyncio.timeout(10):
        reading: list[Any] = [
            asyncio.create_task(messages.next(sender))  # type: ignore[arg-type]
            for sender in senders
        ]
        await asyncio.sleep(0)
        scale.held = 101
        gone, _ = await asyncio.wait(reading, return_when=asyncio.FIRST_COMPLETED)
        scale.held = 50
        first = reading[0]
        assert first not in gone
        senders[0].message.set_result(b"in time")
        assert await first == b"in time"
        for task in reading[1:]:
            task.cancel()
        ends = await asyncio.gather(*reading[1:], return_exceptions=True)
    assert "reads no message" in str(ends[-1])


async def test_a_large_message_is_let_go_where_it_brings_too_much() -> None:
    scale = Scale()
    messages = Messages(100, scale.weigh, scale.trim)
    sender = Sender()
    reading = asyncio.create_task(messages.next(sender))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    scale.held = 101
    sender.message.set_result(b"large")
    with pytest.raises(Exception, match="reads no message"):
        await reading


def test_a_bucket_fills_by_so_much_a_second_and_may_be_in_debt() -> None:
    now = 0.0
    rate = Rate(2.0, "requests", lambda: now)
    assert rate.wait_s(1) == 0
    rate.take(2)
    assert rate.wait_s(1) == 0.5
    now = 0.5
    assert rate.wait_s(1) == 0
    rate.take(10)  # a picture that turned out large
    assert rate.wait_s(0) == 4.5
    now = 100.0
    rate.take(2)
    assert rate.wait_s(1) == 0.5  # what was not asked for is not saved up
    assert Rate(None, "requests", lambda: now).wait_s(1e9) == 0
