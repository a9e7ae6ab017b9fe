"""Many pictures through one client, some at a time: while one is uploaded, others compute.

No more than `in_flight` pictures are ever taken from the iterable before an answer is taken from
the result, so both sides may be endless: a slow reader slows the whole pipe, and nothing piles up.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from anyres_client.errors import ClientError
from anyres_client.picture import Picture
from anyres_client.prediction import Prediction

IN_FLIGHT = 4


@dataclass(frozen=True, eq=False)
class Answer:
    """What became of one picture: a prediction, or the error that it got.

    Args:
        picture: as it was handed over.
        error: why there is no prediction; None where there is one.
    """

    picture: Picture
    error: ClientError | None
    _value: Prediction | None

    @property
    def prediction(self) -> Prediction:
        """The prediction.

        Raises:
            ClientError: there is none.
        """
        if self.error is not None:
            raise self.error
        assert self._value is not None, "what is no error is an answer"
        return self._value


Answers = Generator[Answer]
AsyncAnswers = AsyncGenerator[Answer]


def answered(
    ask: Callable[[Picture], Prediction],
    pictures: Iterable[Picture],
    *,
    in_flight: int,
    ordered: bool,
) -> Answers:
    """Ask about every picture from a few threads."""
    with ThreadPoolExecutor(in_flight, "anyres-client") as pool:
        waiting: list[Future[Answer]] = []
        try:
            for picture in pictures:
                waiting.append(pool.submit(_answer, ask, picture))
                if len(waiting) == in_flight:
                    yield _take(waiting, ordered=ordered)
            while waiting:
                yield _take(waiting, ordered=ordered)
        finally:
            for future in waiting:
                future.cancel()


def _answer(ask: Callable[[Picture], Prediction], picture: Picture) -> Answer:
    try:
        return Answer(picture, None, ask(picture))
    except ClientError as error:
        return Answer(picture, error, None)


def _take(waiting: list[Future[Answer]], *, ordered: bool) -> Answer:
    """The oldest, or whichever is done first."""
    if not ordered:
        done, _ = wait(waiting, return_when=FIRST_COMPLETED)
        index = next(index for index, future in enumerate(waiting) if future in done)
        return waiting.pop(index).result()
    return waiting.pop(0).result()


async def awaited(
    ask: Callable[[Picture], Awaitable[Prediction]],
    pictures: Iterable[Picture],
    *,
    in_flight: int,
    ordered: bool,
) -> AsyncAnswers:
    """Ask about every picture from a few tasks."""
    waiting: list[asyncio.Task[Answer]] = []
    try:
        for picture in pictures:
            waiting.append(asyncio.create_task(_awaited(ask, picture)))
            if len(waiting) == in_flight:
                yield await _next(waiting, ordered=ordered)
        while waiting:
            yield await _next(waiting, ordered=ordered)
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def _awaited(ask: Callable[[Picture], Awaitable[Prediction]], picture: Picture) -> Answer:
    try:
        return Answer(picture, None, await ask(picture))
    except ClientError as error:
        return Answer(picture, error, None)


async def _next(waiting: list[asyncio.Task[Answer]], *, ordered: bool) -> Answer:
    if not ordered:
        done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        index = next(index for index, task in enumerate(waiting) if task in done)
        return waiting.pop(index).result()
    return await waiting.pop(0)
