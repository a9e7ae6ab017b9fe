"""The batcher against a fake engine that doubles, and remembers what it was given."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import numpy as np
import pytest

from anyres_server.errors import Unavailable
from anyres_server.model import Array, Network
from anyres_server.schedule.batching import Batcher, BatchPolicy, Ran

LONG_S = 5.0  # nobody should wait that long


class Net:
    """A network that the doubler never calls; only who it is counts."""

    def __init__(self, *, batches: bool = True) -> None:
        self.batches = batches

    def __call__(self, images: Array, outputs: Sequence[str]) -> tuple[Array, ...]:
        raise NotImplementedError


class Doubler:
    """Doubles every batch; holds each until `open` is set."""

    def __init__(self) -> None:
        self.batches: list[tuple[int, ...]] = []
        self.open = asyncio.Event()
        self.open.set()

    async def __call__(
        self, network: Network, images: Array, outputs: tuple[str, ...]
    ) -> tuple[Array, ...]:
        self.batches.append(images.shape)
        await self.open.wait()
        if (images < 0).any():
            raise ArithmeticError("negative")
        return tuple(images * 2 for _ in outputs)


@asynccontextmanager
async def running(engine: Doubler, *, workers: int = 1, **policy: Any) -> AsyncIterator[Batcher]:
    batcher = Batcher(engine, BatchPolicy(**policy), workers=workers)
    task = asyncio.create_task(batcher.run())
    try:
        yield batcher
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def image(value: float, side: int = 2, rows: int = 1) -> Array:
    return np.full((rows, 1, side, side), value, np.float32)


async def ask(batcher: Batcher, network: Network, images: Array, *outputs: str) -> Ran:
    rows, _, height, width = images.shape
    return await batcher.infer(network, images, outputs or ("y",), pixels=rows * height * width)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_pieces_that_arrive_together_share_one_run() -> None:
    engine, net = Doubler(), Net()
    async with running(engine, max_batch_size=4, max_queue_delay_s=LONG_S) as batcher:
        answers = await asyncio.gather(*(ask(batcher, net, image(i)) for i in range(4)))
    assert engine.batches == [(4, 1, 2, 2)]
    assert [float(answer.outputs[0][0, 0, 0, 0]) for answer in answers] == [0, 2, 4, 6]
    assert {answer.batch_size for answer in answers} == {4}


async def test_a_lone_piece_waits_no_longer_than_the_delay() -> None:
    async with running(Doubler(), max_queue_delay_s=0.01) as batcher, asyncio.timeout(1):
        await ask(batcher, Net(), image(1))


async def test_shapes_and_networks_are_never_mixed() -> None:
    engine, net = Doubler(), Net()
    async with running(engine, max_batch_size=8, max_queue_delay_s=0.01) as batcher:
        await asyncio.gather(
            ask(batcher, net, image(1, side=2)),
            ask(batcher, net, image(1, side=3)),
            ask(batcher, net, image(1, side=2)),
            ask(batcher, Net(), image(1, side=2)),
        )
    assert sorted(engine.batches) == [(1, 1, 2, 2), (1, 1, 3, 3), (2, 1, 2, 2)]


async def test_a_full_batch_does_not_wait_behind_an_older_piece_that_still_may() -> None:
    engine, net = Doubler(), Net()
    async with running(engine, max_batch_size=2, max_queue_delay_s=LONG_S) as batcher:
        lonely = asyncio.create_task(ask(batcher, net, image(1, side=3)))
        await asyncio.gather(*(ask(batcher, net, image(1)) for _ in range(2)))
        assert not lonely.done()
        lonely.cancel()
    assert engine.batches == [(2, 1, 2, 2)]


async def test_pieces_that_want_different_outputs_do_not_share_a_run() -> None:
    engine, net = Doubler(), Net()
    async with running(engine, max_batch_size=4, max_queue_delay_s=0.01) as batcher:
        both, one = await asyncio.gather(
            ask(batcher, net, image(1), "y", "z"), ask(batcher, net, image(2), "y")
        )
    assert engine.batches == [(1, 1, 2, 2)] * 2
    assert (len(both.outputs), len(one.outputs)) == (2, 1)


async def test_of_two_batches_that_are_ready_the_older_goes_first() -> None:
    engine, net = Doubler(), Net()
    engine.open.clear()
    async with running(engine, max_batch_size=2, max_queue_delay_s=0) as batcher:
        busy = asyncio.create_task(ask(batcher, net, image(1, side=5)))
        await settle()
        sides = (3, 2, 3, 2)
        rest = [asyncio.create_task(ask(batcher, net, image(1, side=side))) for side in sides]
        await settle()
        engine.open.set()
        await asyncio.gather(busy, *rest)
    assert engine.batches == [(1, 1, 5, 5), (2, 1, 3, 3), (2, 1, 2, 2)]


async def test_large_pieces_neither_wait_nor_share() -> None:
    engine, net = Doubler(), Net()
    async with running(
        engine, max_batch_size=8, max_batch_pixels=7, max_queue_delay_s=LONG_S
    ) as batcher:
        await asyncio.gather(*(ask(batcher, net, image(i)) for i in range(2)))
    assert engine.batches == [(1, 1, 2, 2)] * 2


async def test_a_network_of_one_image_at_a_time_gets_one_at_a_time_without_a_wait() -> None:
    engine, net = Doubler(), Net(batches=False)
    async with running(engine, max_batch_size=8, max_queue_delay_s=LONG_S) as batcher:
        await asyncio.gather(*(ask(batcher, net, image(i)) for i in range(2)))
    assert engine.batches == [(1, 1, 2, 2)] * 2


async def test_several_images_of_one_caller_stay_together() -> None:
    engine, net = Doubler(), Net()
    async with running(engine, max_batch_size=3, max_queue_delay_s=LONG_S) as batcher:
        pair, single = await asyncio.gather(
            ask(batcher, net, image(1, rows=2)), ask(batcher, net, image(3))
        )
    assert (len(pair.outputs[0]), len(single.outputs[0])) == (2, 1)
    assert float(single.outputs[0][0, 0, 0, 0]) == 6


@pytest.mark.parametrize("victim", [0, 1, 2])
async def test_a_caller_that_leaves_does_not_hurt_its_batch(victim: int) -> None:
    engine, net = Doubler(), Net()
    engine.open.clear()
    async with running(engine, max_batch_size=3, max_queue_delay_s=LONG_S) as batcher:
        tasks = [asyncio.create_task(ask(batcher, net, image(i))) for i in range(3)]
        await settle()
        tasks[victim].cancel()
        engine.open.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    assert engine.batches == [(3, 1, 2, 2)]
    assert [i for i, result in enumerate(results) if not isinstance(result, Ran)] == [victim]


async def test_a_caller_that_leaves_while_queued_costs_the_engine_nothing() -> None:
    engine, net = Doubler(), Net()
    async with running(engine, max_batch_size=8, max_queue_delay_s=0.02) as batcher:
        leaver = asyncio.create_task(ask(batcher, net, image(1)))
        stayer = asyncio.create_task(ask(batcher, net, image(2)))
        await settle()
        leaver.cancel()
        await stayer
    assert engine.batches == [(1, 1, 2, 2)]


async def test_a_failure_reaches_every_caller_and_the_next_batch_still_runs() -> None:
    net = Net()
    async with running(Doubler(), max_batch_size=2, max_queue_delay_s=LONG_S) as batcher:
        failed = await asyncio.gather(
            ask(batcher, net, image(-1)), ask(batcher, net, image(1)), return_exceptions=True
        )
        assert [type(error) for error in failed] == [ArithmeticError, ArithmeticError]
        assert (await ask(batcher, net, image(3, rows=2))).outputs[0].shape == (2, 1, 2, 2)


async def test_as_many_runs_overlap_as_there_are_workers() -> None:
    engine, net = Doubler(), Net(batches=False)
    engine.open.clear()
    async with running(engine, workers=2) as batcher:
        tasks = [asyncio.create_task(ask(batcher, net, image(i))) for i in range(3)]
        await settle()
        assert len(engine.batches) == 2
        engine.open.set()
        await asyncio.gather(*tasks)


async def test_stopping_answers_those_who_wait() -> None:
    engine, net = Doubler(), Net()
    engine.open.clear()
    async with running(engine, max_batch_size=1) as batcher:
        tasks = [asyncio.create_task(ask(batcher, net, image(i))) for i in range(2)]
        await settle()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [Unavailable, Unavailable]
