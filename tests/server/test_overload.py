"""More than a server can do, and for longer than it takes to see a leak.

At full length: `benchmarks.server.load` and `benchmarks.server.soak`.
"""

from __future__ import annotations

from typing import Any

import pytest
from benchmarks.server.asking import request
from benchmarks.server.load import overload
from benchmarks.server.soak import requests, soak

from anyres_server.bench.served import serving

pytestmark = pytest.mark.slow
MIB = 2**20
ANSWERS = ("OK", "RESOURCE_EXHAUSTED")


async def test_ten_times_too_much_is_answered_or_refused_and_fills_no_memory(
    save_model: Any,
) -> None:
    model = save_model("unet")
    queue = {"ANYRES_LIMITS_REQUESTS": "8", "ANYRES_COMPUTE_THREADS": "1"}
    with serving(model.parent, queue) as served:
        message = request("unet", 384, 384)
        seen = await overload(served, message, queue=8, in_flight=4, seconds=1.5, times=10)
    # Beyond a thousand calls that wait for our first look, gRPC sends them away itself.
    assert set(ANSWERS) <= set(seen.codes) <= {*ANSWERS, "UNAVAILABLE"}
    assert seen.codes["RESOURCE_EXHAUSTED"] > seen.codes["OK"] > 0
    assert max(seen.resident) < min(seen.resident) + 256 * MIB


async def test_mixed_sizes_by_the_hundred_leave_nothing_behind(save_model: Any) -> None:
    models = [save_model(name) for name in ("unet", "stride4")]
    made = requests(models, "8-96", 60)
    with serving(models[0].parent, {"ANYRES_COMPUTE_THREADS": "1"}) as served:
        await soak(served, made, 100, in_flight=4)  # fills what is filled once
        seen = await soak(served, made, 300, in_flight=4)
    assert all(answer.good for answer in seen.answers)
    assert len(seen.answers) == 300
    assert seen.growth < 0.05
