"""Waiting until the read tables have come far enough."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from random import Random
from typing import Any

import pytest

from infra.following.watch import Watch

AGES = 30.0
"""Longer than any of these tests takes."""


async def begun(waiting: Coroutine[Any, Any, bool]) -> asyncio.Task[bool]:
    """The wait, under way."""
    task = asyncio.create_task(waiting)
    await asyncio.sleep(0)
    return task


async def test_what_is_shown_already_is_not_waited_for() -> None:
    watch = Watch()
    watch.advance(5)
    assert await watch.reached(5, 0)
    assert await watch.reached(0, 0)


async def test_who_waits_is_told_as_soon_as_it_is_shown_and_no_sooner() -> None:
    watch = Watch()
    waiting = await begun(watch.reached(5, AGES))
    watch.advance(4)
    await asyncio.sleep(0)
    assert not waiting.done()
    watch.advance(5)
    assert await waiting


async def test_all_who_wait_are_told_whatever_the_order_in_which_they_came() -> None:
    watch = Watch()
    positions = [*range(1, 101), *range(1, 101)]
    Random(1).shuffle(positions)
    waiting = {n: await begun(watch.reached(p, AGES)) for n, p in enumerate(positions)}
    watch.advance(60)
    for _ in range(3):
        await asyncio.sleep(0)
    assert {n for n, task in waiting.items() if task.done()} == {
        n for n, position in enumerate(positions) if position <= 60
    }
    watch.advance(100)
    assert all(await asyncio.gather(*waiting.values()))


async def test_the_tables_never_go_back() -> None:
    watch = Watch()
    watch.advance(5)
    watch.advance(3)
    assert watch.position == 5


async def test_a_wait_ends_at_its_limit() -> None:
    watch = Watch()
    watch.advance(4)
    assert not await watch.reached(5, 0.01)


async def test_waits_that_ended_at_their_limit_leave_nothing_behind() -> None:
    """Anybody may ask for a position that never comes."""
    watch = Watch()
    others = [await begun(watch.reached(n, AGES)) for n in (3, 10**18)]
    answers = await asyncio.gather(*(watch.reached(10**17 + n % 7, 0.01) for n in range(500)))
    assert not any(answers)
    assert len(watch._waiting) == len(others)
    watch.advance(10**18)
    assert all(await asyncio.gather(*others))
    assert watch._waiting == []


async def test_who_is_cancelled_is_cancelled_and_nobody_else() -> None:
    watch = Watch()
    one, other = await begun(watch.reached(5, AGES)), await begun(watch.reached(5, AGES))
    one.cancel()
    with pytest.raises(asyncio.CancelledError):
        await one
    assert len(watch._waiting) == 1
    watch.advance(5)
    assert await other
    assert watch._waiting == []


async def test_a_timeout_around_a_wait_is_a_timeout_not_a_no() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await Watch().reached(5, AGES)
