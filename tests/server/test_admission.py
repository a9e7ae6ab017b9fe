"""The gate and the budgets, by themselves: who waits, who is refused, who is let in next."""

from __future__ import annotations

import asyncio

import pytest

from anyres_server.errors import Overloaded, TooLarge, Unavailable
from anyres_server.schedule.admission import Budget, Gate


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


class Borrower:
    """Holds `amount` bytes from when it gets them until it is told to let go."""

    def __init__(self, budget: Budget, amount: int) -> None:
        self.has_it = False
        self.let_go = asyncio.Event()
        self.task = asyncio.create_task(self._borrow(budget, amount))

    async def _borrow(self, budget: Budget, amount: int) -> None:
        async with budget.lent(amount):
            self.has_it = True
            await self.let_go.wait()

    async def finish(self) -> None:
        self.let_go.set()
        await self.task


async def test_a_full_gate_refuses_at_once_and_one_who_leaves_makes_room() -> None:
    gate = Gate(limit=1)
    with gate.entered(), pytest.raises(Overloaded, match=r"full \(1 requests\)"), gate.entered():
        pytest.fail("two are inside")
    with gate.entered():
        pass


async def test_a_closed_gate_refuses_newcomers_and_empties_when_the_last_one_leaves() -> None:
    gate = Gate(limit=2)
    with gate.entered():
        gate.close()
        with pytest.raises(Unavailable, match="shutting down"), gate.entered():
            pass
        emptied = asyncio.create_task(gate.emptied())
        await settle()
        assert not emptied.done()
    await emptied


async def test_who_asks_for_more_than_is_free_waits_until_enough_is_given_back() -> None:
    budget = Budget(10, "tests")
    first, second = Borrower(budget, 7), Borrower(budget, 4)
    await settle()
    assert (first.has_it, second.has_it) == (True, False)
    await first.finish()
    await settle()
    assert second.has_it
    await second.finish()


async def test_who_asks_for_more_than_there_is_is_refused_at_once() -> None:
    with pytest.raises(TooLarge, match="2 MiB of memory for tests, and the server has 1 MiB"):
        async with Budget(2**20, "tests").lent(2**20 + 1):
            pass


async def test_the_small_do_not_overtake_the_large() -> None:
    budget = Budget(10, "tests")
    first, large, small = (Borrower(budget, amount) for amount in (6, 10, 1))
    await settle()
    assert [b.has_it for b in (first, large, small)] == [True, False, False]
    await first.finish()
    await settle()
    assert [b.has_it for b in (large, small)] == [True, False]
    await large.finish()
    await small.finish()


async def test_one_who_leaves_the_line_lets_the_next_one_pass() -> None:
    budget = Budget(10, "tests")
    first, leaver, next_one = (Borrower(budget, amount) for amount in (6, 10, 4))
    await settle()
    leaver.task.cancel()
    await settle()
    assert next_one.has_it
    await first.finish()
    await next_one.finish()


async def test_nothing_is_lost_when_the_turn_comes_as_the_caller_leaves() -> None:
    budget = Budget(10, "tests")
    first, leaver = Borrower(budget, 10), Borrower(budget, 10)
    await settle()
    first.let_go.set()
    await asyncio.sleep(0)  # the first has given back: it is the leaver's turn, not yet taken
    leaver.task.cancel()
    await settle()
    async with asyncio.timeout(1), budget.lent(10):
        pass
