"""Many pictures through either client: in order or as they are done, and never too many ahead."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from anyres_client import AsyncClient, Client, InvalidRequest


def picture(red: int) -> Any:
    """A picture whose class tells which it is: 0, 1 or 2 for a red of 0, 128 or 255."""
    return np.full((2, 3, 3), (red, 0, 0), np.uint8)


REDS = [0, 255, 128, 0, 128, 255, 255, 0]
CLASSES = [0, 2, 1, 0, 1, 2, 2, 0]


@pytest.fixture(params=["blocking", "asyncio"])
def each(request: pytest.FixtureRequest, fake: Any) -> Callable[..., list[Any]]:
    """Every answer of `predict_many`; `take` sees each before the next is asked for."""

    def blocking(pictures: Any, take: Any = lambda _: None, **options: Any) -> list[Any]:
        answers = []
        with Client(fake.address) as client:
            for answer in client.predict_many(pictures, model="zones", **options):
                take(answer)
                answers.append(answer)
        return answers

    def awaited(pictures: Any, take: Any = lambda _: None, **options: Any) -> list[Any]:
        async def run() -> list[Any]:
            answers = []
            async with AsyncClient(fake.address) as client:
                async for answer in client.predict_many(pictures, model="zones", **options):
                    take(answer)
                    answers.append(answer)
            return answers

        return asyncio.run(run())

    return blocking if request.param == "blocking" else awaited


@pytest.mark.parametrize("in_flight", [1, 3, 50])
def test_answers_come_in_the_order_of_the_pictures(each: Any, in_flight: int) -> None:
    answers = each(map(picture, REDS), in_flight=in_flight)
    assert [int(answer.prediction.classes[0, 0]) for answer in answers] == CLASSES
    assert [int(answer.picture[0, 0, 0]) for answer in answers] == REDS


def test_answers_may_come_as_they_are_done(each: Any, fake: Any) -> None:
    """The first is held until all others have been answered."""
    others = threading.Semaphore(0)

    def hold(request: Any, _: Any) -> None:
        if request.image.tensor.shape[0] == 4:
            for _ in range(3):
                assert others.acquire(timeout=10)

    fake.refuse = hold
    slow = np.zeros((4, 3, 3), np.uint8)

    def take(answer: Any) -> None:
        others.release()

    answers = each([slow, *map(picture, REDS[:3])], take, in_flight=2, ordered=False)
    assert answers[-1].picture is slow
    assert len(answers) == 4


def test_one_that_fails_does_not_end_the_others(each: Any) -> None:
    bad, good = np.zeros((2, 3), np.int64), picture(255)
    first, second, third = each([good, bad, good])
    assert (first.error, third.error) == (None, None)
    assert isinstance(second.error, InvalidRequest)
    with pytest.raises(InvalidRequest, match="int64"):
        _ = second.prediction


def test_no_more_are_taken_ahead_than_are_in_flight(each: Any) -> None:
    taken = answered = ahead = 0

    def endless() -> Iterator[Any]:
        nonlocal taken, ahead
        for red in REDS * 3:
            taken += 1
            ahead = max(ahead, taken - answered)
            yield picture(red)

    def take(_: Any) -> None:
        nonlocal answered
        answered += 1

    assert len(each(endless(), take, in_flight=3)) == 24
    assert ahead <= 4  # three under way, and the one that is just being taken


def test_who_stops_early_leaves_nothing_behind(fake: Any) -> None:
    with Client(fake.address) as client:
        answers = client.predict_many(map(picture, REDS * 100), model="zones", in_flight=2)
        next(answers)
        answers.close()
    assert len(fake.requests) <= 4
    assert not [t for t in threading.enumerate() if t.name.startswith("anyres-client")]
