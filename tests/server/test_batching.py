"""The batcher against a fake engine that doubles, and remembers what it was given."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, nullcontext, suppress
from dataclasses import replace
from threading import Event
from types import SimpleNamespace
from typing import Any, TypeAlias

import numpy as np
import onnx.parser
import pytest

from anyres_analyzer import analyze
from anyres_server.errors import Stopped, Unavailable
from anyres_server.model import Array, Model
from anyres_server.repository.cards import card_of
from anyres_server.routing.pace import Pace
from anyres_server.schedule.batching import Batcher
from anyres_server.schedule.performing import Computed, Run, answer, performed
from anyres_server.schedule.queue import BatchPolicy, Piece, Ran
from anyres_server.schedule.turns import Turns
from anyres_server.settings.per_model import ModelSettings

GREY = onnx.parser.parse_model(
    '<ir_version: 8, opset_import: ["" : 17]>'
    "grey (float[N,1,H,W] x) => (float[N,1,P,Q] y) { y = Identity (x) }"
)
LONG_S = 5.0  # nobody should wait that long


class Net:
    """A network that the doubler never calls; only who it is counts."""

    def __init__(self, *, batches: bool = True) -> None:
        self.batches = batches

    def __call__(self, images: Array, outputs: Sequence[str], **how: Any) -> tuple[Array, ...]:
        raise NotImplementedError


def cut(run: Run) -> Array:
    return np.concatenate([entry.piece.cut() for entry in run.batch])


def doubled(run: Run, images: Array, began: float) -> Computed:
    took_s = asyncio.get_running_loop().time() - began
    done = Computed(run.batch, tuple(images * 2 for _ in run.outputs), took_s)
    answer(done)
    return done


class Doubler:
    """Doubles every batch; holds each until `open` is set."""

    def __init__(self) -> None:
        self.batches: list[tuple[int, ...]] = []
        self.runs: list[Run] = []
        self.open = asyncio.Event()
        self.open.set()

    async def __call__(self, run: Run) -> Computed:
        began = asyncio.get_running_loop().time()
        images = cut(run)
        self.batches.append(images.shape)
        self.runs.append(run)
        await self.open.wait()
        if run.stop.said:
            raise Stopped
        if (images < 0).any():
            raise ArithmeticError("negative")
        return doubled(run, images, began)


def model(network: Net, **settings: Any) -> Model:
    """A model of grey pictures that costs a multiply-add a pixel."""

    def cost(height: int, width: int, batch: int) -> Any:
        return SimpleNamespace(macs=batch * height * width)

    return Model(
        "doubling",
        "1",
        card_of("doubling", analyze(GREY)),
        cost,
        network,
        settings=ModelSettings(**settings),
    )


@asynccontextmanager
async def running(
    engine: Doubler,
    *,
    processors: int = 1,
    tell: Any = lambda _: None,
    pace: Pace | None = None,
    **policy: Any,
) -> AsyncIterator[Batcher]:
    batcher = Batcher(engine, BatchPolicy(**policy), pace or Pace(), tell, processors=processors)
    task = asyncio.create_task(batcher.run())
    try:
        yield batcher
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def image(value: float, side: int = 2, rows: int = 1) -> Array:
    return np.full((rows, 1, side, side), value, np.float32)


Arrays: TypeAlias = tuple[Array, ...]


def piece(images: Array) -> Piece[Arrays]:
    return Piece(images.shape, lambda: images, lambda outputs: outputs)


async def ask(batcher: Batcher, asked: Model, images: Array, *outputs: str) -> Ran[Arrays]:
    return await batcher.infer(asked, piece(images), outputs or ("y",))


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_pieces_that_arrive_together_share_one_run() -> None:
    engine, net = Doubler(), model(Net())
    async with running(engine, max_batch_size=4, max_queue_delay_s=LONG_S) as batcher:
        answers = await asyncio.gather(*(ask(batcher, net, image(i)) for i in range(4)))
    assert engine.batches == [(4, 1, 2, 2)]
    assert [float(answer.made[0][0, 0, 0, 0]) for answer in answers] == [0, 2, 4, 6]
    assert {answer.batch_size for answer in answers} == {4}


async def test_a_lone_piece_waits_no_longer_than_the_delay() -> None:
    async with running(Doubler(), max_queue_delay_s=0.01) as batcher, asyncio.timeout(1):
        await ask(batcher, model(Net()), image(1))


async def test_shapes_and_networks_are_never_mixed() -> None:
    engine, net = Doubler(), model(Net())
    async with running(engine, max_batch_size=8, max_queue_delay_s=0.01) as batcher:
        await asyncio.gather(
            ask(batcher, net, image(1, side=2)),
            ask(batcher, net, image(1, side=3)),
            ask(batcher, net, image(1, side=2)),
            ask(batcher, model(Net()), image(1, side=2)),
        )
    assert sorted(engine.batches) == [(1, 1, 2, 2), (1, 1, 3, 3), (2, 1, 2, 2)]


async def test_a_full_batch_does_not_wait_behind_an_older_piece_that_still_may() -> None:
    engine, net = Doubler(), model(Net())
    async with running(engine, max_batch_size=2, max_queue_delay_s=LONG_S) as batcher:
        lonely = asyncio.create_task(ask(batcher, net, image(1, side=3)))
        await asyncio.gather(*(ask(batcher, net, image(1)) for _ in range(2)))
        assert not lonely.done()
        lonely.cancel()
    assert engine.batches == [(2, 1, 2, 2)]


async def test_pieces_that_want_different_outputs_do_not_share_a_run() -> None:
    engine, net = Doubler(), model(Net())
    async with running(engine, max_batch_size=4, max_queue_delay_s=0.01) as batcher:
        both, one = await asyncio.gather(
            ask(batcher, net, image(1), "y", "z"), ask(batcher, net, image(2), "y")
        )
    assert engine.batches == [(1, 1, 2, 2)] * 2
    assert (len(both.made), len(one.made)) == (2, 1)


async def test_of_two_batches_that_are_ready_the_older_goes_first() -> None:
    engine, net = Doubler(), model(Net())
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
    engine, net = Doubler(), model(Net())
    async with running(
        engine, max_batch_size=8, max_batch_pixels=7, max_queue_delay_s=LONG_S
    ) as batcher:
        await asyncio.gather(*(ask(batcher, net, image(i)) for i in range(2)))
    assert engine.batches == [(1, 1, 2, 2)] * 2


async def test_a_network_of_one_image_at_a_time_gets_one_at_a_time_without_a_wait() -> None:
    engine, net = Doubler(), model(Net(batches=False))
    async with running(engine, max_batch_size=8, max_queue_delay_s=LONG_S) as batcher:
        await asyncio.gather(*(ask(batcher, net, image(i)) for i in range(2)))
    assert engine.batches == [(1, 1, 2, 2)] * 2


async def test_several_images_of_one_caller_stay_together() -> None:
    engine, net = Doubler(), model(Net())
    async with running(engine, max_batch_size=3, max_queue_delay_s=LONG_S) as batcher:
        pair, single = await asyncio.gather(
            ask(batcher, net, image(1, rows=2)), ask(batcher, net, image(3))
        )
    assert (len(pair.made[0]), len(single.made[0])) == (2, 1)
    assert float(single.made[0][0, 0, 0, 0]) == 6


@pytest.mark.parametrize("victim", [0, 1, 2])
async def test_a_caller_that_leaves_does_not_hurt_its_batch(victim: int) -> None:
    engine, net = Doubler(), model(Net())
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
    engine, net = Doubler(), model(Net())
    async with running(engine, max_batch_size=8, max_queue_delay_s=0.02) as batcher:
        leaver = asyncio.create_task(ask(batcher, net, image(1)))
        stayer = asyncio.create_task(ask(batcher, net, image(2)))
        await settle()
        leaver.cancel()
        await stayer
    assert engine.batches == [(1, 1, 2, 2)]


async def test_a_failure_reaches_every_caller_and_the_next_batch_still_runs() -> None:
    net = model(Net())
    async with running(Doubler(), max_batch_size=2, max_queue_delay_s=LONG_S) as batcher:
        failed = await asyncio.gather(
            ask(batcher, net, image(-1)), ask(batcher, net, image(1)), return_exceptions=True
        )
        assert [type(error) for error in failed] == [ArithmeticError, ArithmeticError]
        assert (await ask(batcher, net, image(3, rows=2))).made[0].shape == (2, 1, 2, 2)


async def test_as_many_runs_overlap_as_there_are_processors() -> None:
    engine, net = Doubler(), model(Net(batches=False))
    engine.open.clear()
    async with running(engine, processors=2) as batcher:
        tasks = [asyncio.create_task(ask(batcher, net, image(i))) for i in range(3)]
        await settle()
        assert len(engine.batches) == 2
        engine.open.set()
        await asyncio.gather(*tasks)


async def test_stopping_answers_those_who_wait() -> None:
    engine, net = Doubler(), model(Net())
    engine.open.clear()
    async with running(engine, max_batch_size=1) as batcher:
        tasks = [asyncio.create_task(ask(batcher, net, image(i))) for i in range(2)]
        await settle()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [Unavailable, Unavailable]


async def test_a_lone_piece_has_all_processors_and_several_one_each() -> None:
    engine, net = Doubler(), model(Net(batches=False))
    async with running(engine, processors=2) as batcher:
        await ask(batcher, net, image(0))
        engine.open.clear()
        tasks = [asyncio.create_task(ask(batcher, net, image(i))) for i in range(4)]
        await settle()
        assert [run.wide for run in engine.runs] == [True, False, False]
        engine.open.set()
        await asyncio.gather(*tasks)


class OneByOne(Doubler):
    """Holds every run until its own gate opens."""

    def __init__(self) -> None:
        super().__init__()
        self.gates: list[asyncio.Event] = []

    async def __call__(self, run: Run) -> Computed:
        self.gates.append(asyncio.Event())
        self.runs.append(run)
        began = asyncio.get_running_loop().time()
        await self.gates[-1].wait()
        return doubled(run, cut(run), began)


class Told(Pace):
    """Knows what it was told, and nothing before."""

    def __init__(self) -> None:
        super().__init__()
        self.told: dict[bool, float] = {}

    def seconds(self, *asked: Any, wide: bool = True, contended: bool = False) -> float | None:
        return self.told.get(wide)


@pytest.mark.parametrize(("narrow_s", "held"), [(10.0, True), (1.0, False)])
async def test_where_wide_runs_are_faster_no_narrow_one_starts_beside_the_last(
    narrow_s: float, held: bool
) -> None:
    engine, net, pace = OneByOne(), model(Net(batches=False)), Told()
    async with running(engine, processors=2, pace=pace) as batcher:
        tasks = [asyncio.create_task(ask(batcher, net, image(i))) for i in range(4)]
        await settle()
        assert [run.wide for run in engine.runs] == [False, False]  # to find out
        pace.told = {True: 1.0, False: narrow_s}
        engine.gates[0].set()
        await settle()
        assert len(engine.runs) == (2 if held else 3)
        engine.gates[1].set()
        await settle()
        assert [run.wide for run in engine.runs[2:]] == ([True] if held else [False, False])
        while not all(task.done() for task in tasks):
            for gate in engine.gates:
                gate.set()
            await settle()


async def test_what_a_narrow_run_takes_alone_is_not_what_it_takes_beside_others() -> None:
    engine, net, pace = OneByOne(), model(Net(batches=False)), Pace()
    async with running(engine, processors=2, pace=pace) as batcher:
        tasks = [asyncio.create_task(ask(batcher, net, image(i))) for i in range(2)]
        await settle()
        engine.gates[0].set()
        await tasks[0]
        assert pace.seconds(net, (2, 2), wide=False) is not None
        await asyncio.sleep(0.05)
        before = pace.seconds(net, (2, 2), wide=False)
        engine.gates[1].set()
        await tasks[1]
        assert pace.seconds(net, (2, 2), wide=False) == before


async def test_the_next_run_is_handed_over_before_the_last_is_over_and_no_other_one() -> None:
    engine, net, pace = OneByOne(), model(Net(batches=False)), Told()
    pace.told = {True: 0.05, False: 1.0}
    async with running(engine, processors=2, pace=pace) as batcher:
        tasks = [asyncio.create_task(ask(batcher, net, image(i))) for i in range(3)]
        await settle()
        assert len(engine.runs) == 1
        await asyncio.sleep(0.05)
        await settle()
        assert [run.wide for run in engine.runs] == [True, True]
        while not all(task.done() for task in tasks):
            for gate in engine.gates:
                gate.set()
            await settle()
    assert len(engine.runs) == 3


def test_a_run_that_was_handed_over_begins_when_those_before_it_have_ended() -> None:
    turns, seen = Turns(2), list[str]()
    begun = {name: Event() for name in ("first", "second", "wide")}
    ends = {name: Event() for name in ("first", "second")}

    def run(name: str, slots: int) -> None:
        with turns.taken(slots):
            seen.append(f"{name} begins")
            begun[name].set()
            if name in ends:
                ends[name].wait(LONG_S)
            seen.append(f"{name} ends")

    with ThreadPoolExecutor(3) as threads:
        done = [threads.submit(run, *each) for each in (("first", 1), ("second", 1))]
        assert begun["first"].wait(LONG_S)
        assert begun["second"].wait(LONG_S)
        done.append(threads.submit(run, "wide", 2))
        ends["first"].set()
        done[0].result(LONG_S)
        assert not begun["wide"].wait(0.02)
        ends["second"].set()
        for each in done:
            each.result(LONG_S)
    assert seen[2:] == ["first ends", "second ends", "wide begins", "wide ends"]


async def test_nothing_runs_beside_a_wide_run() -> None:
    engine, net = Doubler(), model(Net(batches=False))
    engine.open.clear()
    async with running(engine, processors=4) as batcher:
        first = asyncio.create_task(ask(batcher, net, image(0)))
        await settle()
        second = asyncio.create_task(ask(batcher, net, image(1)))
        await settle()
        assert [run.wide for run in engine.runs] == [True]
        engine.open.set()
        await asyncio.gather(first, second)


async def test_a_run_for_which_nobody_waits_any_more_is_stopped() -> None:
    engine, net = Doubler(), model(Net())
    engine.open.clear()
    async with running(engine, max_batch_size=2, max_queue_delay_s=LONG_S) as batcher:
        tasks = [asyncio.create_task(ask(batcher, net, image(i))) for i in range(2)]
        await settle()
        tasks[0].cancel()
        await settle()
        assert not engine.runs[0].stop.said
        tasks[1].cancel()
        await settle()
        assert engine.runs[0].stop.said
        engine.open.set()
        assert (await ask(batcher, net, image(1, rows=2))).batch_size == 2


async def test_a_models_own_limits_go_before_the_servers() -> None:
    engine, net = Doubler(), model(Net(), max_batch_size=3, max_queue_delay_s=1.0)
    async with running(engine, max_batch_size=2, max_queue_delay_s=0) as batcher:
        await asyncio.gather(*(ask(batcher, net, image(i)) for i in range(3)))
    assert engine.batches == [(3, 1, 2, 2)]


async def test_who_is_always_alone_waits_for_company_no_more() -> None:
    net = model(Net())
    async with running(Doubler(), max_queue_delay_s=0.02) as batcher:
        for _ in range(3):
            await ask(batcher, net, image(1))
        began = asyncio.get_running_loop().time()
        answer = asyncio.create_task(ask(batcher, net, image(1)))
        await settle()
        await settle()
        assert answer.done(), asyncio.get_running_loop().time() - began


async def test_every_run_is_told_with_what_it_took() -> None:
    events: list[Any] = []
    net = model(Net())
    async with running(Doubler(), tell=events.append) as batcher:
        await batcher.infer(net, piece(image(1, side=3, rows=2)), ("y",), 12345)
    (event,) = events
    assert (event.model, event.size, event.images, event.threads) == (net, (3, 3), 2, 1)
    assert (event.reserved_bytes, event.predicted_s) == (12345, None)
    assert event.compute_s > 0


async def test_the_backlog_is_what_is_under_way_and_what_waits() -> None:
    engine, net = Doubler(), model(Net(batches=False))
    pace = Pace()
    pace.note(net, (10, 10), 1, 1.0, True)
    batcher = Batcher(engine, BatchPolicy(), pace, lambda _: None)
    serving = asyncio.create_task(batcher.run())
    engine.open.clear()
    tasks = [asyncio.create_task(ask(batcher, net, image(0, side=10))) for _ in range(3)]
    await settle()
    assert batcher.backlog_s() == pytest.approx(3.0, abs=0.2)
    engine.open.set()
    await asyncio.gather(*tasks)
    assert batcher.backlog_s() == 0
    serving.cancel()
    with suppress(asyncio.CancelledError):
        await serving


class Calling:
    """A network that doubles at once."""

    batches = True

    def __call__(self, images: Array, outputs: Sequence[str], **how: Any) -> Arrays:
        return tuple(images * 2 for _ in outputs)


def broken(*_: Any) -> Any:
    raise ArithmeticError("broken")


async def in_thread(engine_of: Any, *pieces: Piece[Any]) -> list[Any]:
    """What becomes of pieces that share one run, done in a thread as a server does it."""
    net = Model(
        "doubling",
        "1",
        card_of("doubling", analyze(GREY)),
        lambda *_: SimpleNamespace(macs=1),  # type: ignore[arg-type]
        Calling(),
    )
    seen: list[Computed] = []

    async def engine(run: Run) -> Computed:
        await asyncio.to_thread(performed, run, engine_of(run), seen.append)
        return seen[-1]

    asked: Any = engine
    async with running(asked, max_batch_size=4, max_queue_delay_s=LONG_S) as batcher:
        answers = [batcher.infer(net, piece, ("y",)) for piece in pieces]
        found = await asyncio.gather(*answers, return_exceptions=True)
    assert len(seen) == 1
    return found


async def test_a_piece_that_cannot_be_cut_or_made_something_of_fails_alone() -> None:
    whole = [piece(image(value)) for value in (1, 2, 3, 4)]
    first, uncut, unmade, last = (
        whole[0],
        replace(whole[1], cut=broken),
        replace(whole[2], make=broken),
        whole[3],
    )
    found = await in_thread(lambda _: nullcontext(), first, uncut, unmade, last)
    assert [type(each).__name__ for each in found] == [
        *("Ran", "ArithmeticError", "ArithmeticError", "Ran")
    ]
    assert [float(found[index].made[0][0, 0, 0, 0]) for index in (0, 3)] == [2, 8]
    assert {found[index].batch_size for index in (0, 3)} == {3}


async def test_pieces_are_cut_before_their_turn_and_made_something_of_after_it() -> None:
    seen: list[str] = []

    @contextmanager
    def turn() -> Iterator[None]:
        seen.append("turn")
        yield
        seen.append("over")

    def cut() -> Array:
        seen.append("cut")
        return image(1)

    lone = Piece((4, 1, 2, 2), lambda: np.repeat(cut(), 4, 0), lambda _: seen.append("made"))
    await in_thread(lambda _: turn(), lone)
    assert seen == ["cut", "turn", "over", "made"]
