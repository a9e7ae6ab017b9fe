"""A request's own timeout, in microseconds: what comes later is of no use to anybody."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from tests.server.stock import stock

from anyres_server.engine.session import open_engine
from anyres_server.model import Array

ZEROS = {"model": "stride4", "name": "x", "values": np.zeros((1, 3, 8, 8)).tolist()}
QUIET: dict[str, Any] = {"repository_warm_up_s": 0}
HALF_A_TENTH_S = 50_000  # in microseconds


class Held:
    """An engine whose runs end when they may."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self.batches, self.metadata = engine.batches, engine.metadata
        self.may_end = threading.Event()

    def __call__(self, images: Array, outputs: Sequence[str], **how: Any) -> tuple[Array, ...]:
        assert self.may_end.wait(20)
        found: tuple[Array, ...] = self._engine(images, outputs, **how)
        return found


@pytest.mark.parametrize(
    "call",
    [
        ("infer", ZEROS | {"timeout": HALF_A_TENTH_S}),
        ("infer", ZEROS | {"timeout": HALF_A_TENTH_S, "outputs": ["class_map"]}),
    ],
)
async def test_a_request_ends_when_its_time_is_over(
    serve: Any, save_model: Any, call: tuple[str, dict[str, Any]]
) -> None:
    held = Held(open_engine(save_model("stride4"), threads=1))
    async with serve(opening=lambda *_, **__: held, **QUIET) as served:
        (late,) = await stock(served.server.port, call)
        held.may_end.set()
        (found,) = await stock(served.server.port, ("infer", ZEROS))
    assert late["status"] == "StatusCode.DEADLINE_EXCEEDED"
    assert "0.05 s" in late["message"]
    assert found["value"]["model"] == ["stride4", "1"]


async def test_enough_time_changes_nothing_and_neither_does_none(serve: Any) -> None:
    calls = [ZEROS | {"timeout": 20_000_000}, ZEROS | {"timeout": 0}, ZEROS | {"priority": 3}]
    async with serve("stride4") as served:
        outcomes = await stock(served.server.port, *(("infer", call) for call in calls))
    first, *others = (outcome["value"]["outputs"] for outcome in outcomes)
    assert others == [first, first]


async def test_in_a_stream_time_that_is_over_is_one_requests_answer(
    serve: Any, save_model: Any
) -> None:
    held = Held(open_engine(save_model("stride4"), threads=1))
    requests = [ZEROS | {"timeout": HALF_A_TENTH_S}]
    async with serve(opening=lambda *_, **__: held, **QUIET) as served:
        (outcome,) = await stock(served.server.port, ("stream", {"requests": requests}))
        held.may_end.set()
    assert "0.05 s" in outcome["value"][0]["message"]
