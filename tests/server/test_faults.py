"""What goes wrong around a server while clients ask it. More of it: `benchmarks.server.faults`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from benchmarks.server.asking import OPTIONS, predicting
from benchmarks.server.faults import (
    MISHAPS,
    Asked,
    Ground,
    inverted,
    meanwhile,
    put,
    stopped,
)

from anyres_proto.anyres.v1 import dense_prediction_pb2 as pb
from anyres_server.bench.served import Served

pytestmark = pytest.mark.slow
PATIENCE_S = 20.0


@pytest.fixture
def ground(save_model: Any) -> Ground:
    return Ground(save_model("unet"), (48, 64), times=2, every_s=0.05)


@pytest.mark.parametrize("name", ["killed client", "half-open", "full disk", "corrupt"])
async def test_nothing_is_lost_and_the_server_is_up_after(ground: Ground, name: str) -> None:
    seen = await meanwhile(ground, partial(MISHAPS[name], ground))
    assert seen.lost == ()
    assert len(seen.asked) > 16
    assert seen.up
    assert len({_classes(each) for each in seen.asked}) == 1, "the good model answers throughout"


async def test_a_model_that_is_replaced_under_load_is_one_or_the_other_and_nothing_is_lost(
    ground: Ground,
) -> None:
    async def there_and_back(served: Served, folder: Path) -> str:
        async with grpc.aio.insecure_channel(served.address, OPTIONS) as channel:
            before = await _now(channel, ground)
            for content in (inverted(ground.model), ground.model.read_bytes()):
                put(folder / ground.model.name, content)
                while (after := await _now(channel, ground)) == before:
                    pass  # each look is a request, and waits for its answer
                before = after
        return ""

    seen = await meanwhile(ground, there_and_back)
    assert seen.lost == ()
    assert seen.up
    assert len({_classes(each) for each in seen.asked}) == 2


async def test_told_to_stop_under_load_it_answers_all_who_were_in(ground: Ground) -> None:
    seen = await stopped(ground)
    assert seen.lost == ()
    assert seen.up, seen.note
    later = {each.answer.code for each in seen.asked} - {grpc.StatusCode.OK}
    assert grpc.StatusCode.UNAVAILABLE in later


async def _now(channel: grpc.aio.Channel, ground: Ground) -> bytes:
    body: bytes = await predicting(channel)(ground.message, timeout=PATIENCE_S)
    return _tensor(body)


def _classes(asked: Asked) -> bytes:
    return _tensor(asked.body)


def _tensor(body: bytes) -> bytes:
    return pb.PredictResponse.FromString(body).outputs[0].tensor.data
