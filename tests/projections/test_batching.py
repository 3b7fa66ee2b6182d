"""Concurrent look-ups, collected into one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from projections.engine.batching import Batcher


class Store:
    """Looks up the double of a number, when it is let."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []
        self._turns: list[asyncio.Future[None]] = []

    async def fetch(self, keys: Sequence[int]) -> dict[int, int]:
        self.asked.append(list(keys))
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._turns.append(turn)
        await turn
        return {key: 2 * key for key in keys}

    def let(self, fetch: int, fault: Exception | None = None) -> None:
        """Let a fetch end."""
        if fault is None:
            self._turns[fetch].set_result(None)
        else:
            self._turns[fetch].set_exception(fault)


@pytest.fixture
def store() -> Store:
    return Store()


async def settle() -> None:
    """Let everything go on that can."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_look_ups_made_at_once_are_one_fetch(store: Store) -> None:
    batcher = Batcher(store.fetch)
    looking = [asyncio.create_task(batcher.get(key)) for key in (1, 2, 2, 3)]
    await settle()
    assert [sorted(keys) for keys in store.asked] == [[1, 2, 3]]
    store.let(0)
    assert await asyncio.gather(*looking) == [2, 4, 4, 6]


async def test_a_look_up_never_joins_one_that_has_begun(store: Store) -> None:
    """It may have been asked for because of something newer than that one can see."""
    batcher = Batcher(store.fetch, most_fetches=1)
    first = asyncio.create_task(batcher.get(1))
    await settle()
    second = asyncio.create_task(batcher.get(1))
    await settle()
    assert store.asked == [[1]]
    store.let(0)
    assert await first == 2
    await settle()
    assert store.asked == [[1], [1]]
    assert not second.done()
    store.let(1)
    assert await second == 2


async def test_while_some_are_looked_up_the_next_ones_gather(store: Store) -> None:
    batcher = Batcher(store.fetch, most_fetches=1)
    looking = [asyncio.create_task(batcher.get(1))]
    await settle()
    for key in (2, 3, 4):
        looking.append(asyncio.create_task(batcher.get(key)))
        await settle()
    store.let(0)
    await settle()
    assert [sorted(keys) for keys in store.asked] == [[1], [2, 3, 4]]
    store.let(1)
    assert await asyncio.gather(*looking) == [2, 4, 6, 8]


async def test_no_more_fetches_run_at_once_than_may(store: Store) -> None:
    batcher = Batcher(store.fetch, most_fetches=2)
    looking = []
    for key in range(5):
        looking.append(asyncio.create_task(batcher.get(key)))
        await settle()
    assert store.asked == [[0], [1]]
    store.let(1)
    await settle()
    assert [sorted(keys) for keys in store.asked] == [[0], [1], [2, 3, 4]]
    store.let(0)
    store.let(2)
    assert await asyncio.gather(*looking) == [0, 2, 4, 6, 8]


async def test_a_fetch_takes_so_many_keys_and_leaves_the_rest_to_the_next(store: Store) -> None:
    batcher = Batcher(store.fetch, most_keys=2, most_fetches=1)
    looking = asyncio.create_task(batcher.get_all([1, 2, 3, 4, 5]))
    for fetch in range(3):
        await settle()
        store.let(fetch)
    assert await looking == {1: 2, 2: 4, 3: 6, 4: 8, 5: 10}
    assert [len(keys) for keys in store.asked] == [2, 2, 1]


async def test_several_keys_share_fetches_with_single_ones(store: Store) -> None:
    batcher = Batcher(store.fetch)
    several = asyncio.create_task(batcher.get_all([1, 2, 2]))
    single = asyncio.create_task(batcher.get(2))
    nothing = asyncio.create_task(batcher.get_all([]))
    await settle()
    assert [sorted(keys) for keys in store.asked] == [[1, 2]]
    store.let(0)
    assert await several == {1: 2, 2: 4}
    assert await single == 4
    assert await nothing == {}


async def test_who_is_cancelled_harms_nobody_else(store: Store) -> None:
    batcher = Batcher(store.fetch)
    looking = [asyncio.create_task(batcher.get(1)) for _ in range(2)]
    several = asyncio.create_task(batcher.get_all([1, 2]))
    await settle()
    looking[0].cancel()
    await settle()
    assert looking[0].cancelled()
    store.let(0)
    assert await looking[1] == 2
    assert await several == {1: 2, 2: 4}


async def test_who_is_cancelled_before_the_fetch_began_harms_nobody_else(store: Store) -> None:
    batcher = Batcher(store.fetch, most_fetches=1)
    first = asyncio.create_task(batcher.get(1))
    await settle()
    waiting = [asyncio.create_task(batcher.get(2)) for _ in range(2)]
    await settle()
    waiting[0].cancel()
    await settle()
    store.let(0)
    await settle()
    store.let(1)
    assert (await first, await waiting[1]) == (2, 4)


async def test_a_fault_reaches_everybody_who_asked_and_nobody_else(store: Store) -> None:
    batcher = Batcher(store.fetch, most_fetches=1)
    unlucky = [asyncio.create_task(batcher.get(key)) for key in (1, 2)]
    several = asyncio.create_task(batcher.get_all([1, 3]))
    await settle()
    later = asyncio.create_task(batcher.get(1))
    await settle()
    store.let(0, ConnectionError("gone"))
    for task in (*unlucky, several):
        with pytest.raises(ConnectionError, match="gone"):
            await task
    await settle()
    store.let(1)
    assert await later == 2


async def test_a_fault_that_nobody_waits_for_any_more_is_no_trouble(store: Store) -> None:
    batcher = Batcher(store.fetch, most_fetches=1)
    one = asyncio.create_task(batcher.get(1))
    await settle()
    one.cancel()
    await settle()
    store.let(0, ConnectionError("gone"))
    other = asyncio.create_task(batcher.get(2))
    await settle()
    store.let(1)
    assert await other == 4
