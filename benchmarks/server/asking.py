"""Clients that ask a server for predictions: as fast as it answers, or however fast it does."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from typing import Any

import grpc
import grpc.aio
import numpy as np
from PIL import Image

from anyres_proto.anyres.v1 import dense_prediction_pb2 as pb

PREDICT = "/anyres.v1.DensePredictionService/Predict"
OPTIONS = (("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1))
SLACK = 16  # pixels between two random ones of a picture


@dataclass(frozen=True)
class Answer:
    """How one request ended, as its client saw it; seconds of the monotonic clock."""

    code: grpc.StatusCode
    sent: float
    ended: float

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.ended - self.sent

    @property
    def good(self) -> bool:
        """Whether it was answered."""
        return self.code is grpc.StatusCode.OK


def request(model: str, height: int, width: int, *, file: bool = True) -> bytes:
    """A request for the class map of a picture: a PNG, or its pixels."""
    random = np.random.default_rng(height * width)
    coarse = random.integers(0, 256, (height // SLACK + 1, width // SLACK + 1, 3), np.uint8)
    picture = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    if file:
        encoded = BytesIO()
        picture.save(encoded, "PNG", compress_level=1)
        image = pb.Image(encoded=encoded.getvalue())
    else:
        data = np.asarray(picture).tobytes()
        tensor = pb.Tensor(data_type=pb.DATA_TYPE_UINT8, shape=(height, width, 3), data=data)
        image = pb.Image(tensor=tensor)
    return pb.PredictRequest(model_name=model, image=image).SerializeToString()


def predicting(channel: grpc.aio.Channel) -> Any:
    """The call, with bytes in and out: nothing is packed or unpacked while the clock runs."""
    return channel.unary_unary(PREDICT)


async def asked(call: Callable[[], Any], timeout: float = 120.0) -> Answer:
    """Make a call, whatever comes of it."""
    loop = asyncio.get_running_loop()
    sent = loop.time()
    try:
        async with asyncio.timeout(timeout):
            await call()
    except grpc.aio.AioRpcError as error:
        return Answer(error.code(), sent, loop.time())
    except TimeoutError:
        return Answer(grpc.StatusCode.DEADLINE_EXCEEDED, sent, loop.time())
    return Answer(grpc.StatusCode.OK, sent, loop.time())


async def as_answered(
    call: Callable[[bytes], Any], requests: Iterator[bytes], in_flight: int
) -> list[Answer]:
    """Ask one request after the other, so many at a time, until there are no more."""
    answers: list[Answer] = []

    async def one_after_the_other() -> None:
        for each in requests:
            answer = await asked(partial(call, each))
            answers.append(answer)

    async with asyncio.TaskGroup() as clients:
        for _ in range(in_flight):
            clients.create_task(one_after_the_other())
    return answers


async def regardless(
    call: Callable[[bytes], Any], message: bytes, rate: float, seconds: float
) -> list[Answer]:
    """Ask so many times a second, answered or not; late ones go at once, and none is left out."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with asyncio.TaskGroup() as clients:
        tasks = []
        for number in range(round(rate * seconds)):
            if (early := began + number / rate - loop.time()) > 0:
                await asyncio.sleep(early)
            elif number % 8 == 0:
                await asyncio.sleep(0)  # so that answers are heard
            tasks.append(clients.create_task(asked(partial(call, message))))
    return [task.result() for task in tasks]


def percentile(seconds: Sequence[float], share: float) -> float:
    """The time that this share of them stay below; 0 of none."""
    ordered = sorted(seconds)
    return ordered[int(share * (len(ordered) - 1))] if ordered else 0.0


@contextmanager
def processors_apart() -> Iterator[None]:
    """Processes that are started inside have all processors but one; we have that one after."""
    all_of_them = sorted(os.sched_getaffinity(0))
    theirs = all_of_them[:-1] or all_of_them
    os.sched_setaffinity(0, theirs)
    try:
        yield
    finally:
        os.sched_setaffinity(0, all_of_them[-1:])
