"""The address of Redis leads to another one, and the old one lives on and takes no writes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from redis import Redis

from application.ports.signing_in import StoreUnavailable
from infra.short_lived import open_store
from tests.proxy import Proxy, proxy
from tests.servers import RedisServer, private_redis
from tests.waiting import until

LONG = 60.0


class Two:
    """A Redis and its replica, and the address that leads to one of them."""

    def __init__(self, old: RedisServer, new: RedisServer, address: Proxy) -> None:
        self.old, self.new, self.address = old, new, address
        self.url = f"redis://127.0.0.1:{address.port}/0"

    def swap(self) -> None:
        """Let the replica be the one that takes writes, and the other follow it."""
        with Redis.from_url(self.new.url) as new, Redis.from_url(self.old.url) as old:
            new.replicaof("NO", "ONE")
            old.replicaof("127.0.0.1", str(self.new.port))


@pytest.fixture
def two() -> Iterator[Two]:
    with ExitStack() as stack:
        old, new = (stack.enter_context(private_redis()) for _ in range(2))
        address = stack.enter_context(proxy(old.port))
        with Redis.from_url(new.url) as replica:
            replica.replicaof("127.0.0.1", str(old.port))
        yield Two(old, new, address)


async def has_it(two: Two) -> bool:
    def keys() -> int:
        with Redis.from_url(two.new.url) as new:
            return len(new.keys("*"))

    return await asyncio.to_thread(keys) > 0


async def test_the_store_is_on_the_new_one_at_the_first_word_of_the_old(two: Two) -> None:
    async with open_store(two.url, "club") as store:
        # Over as many connections as there are calls at once.
        await asyncio.gather(*(store.put(f"key {n}", b"kept", LONG) for n in range(10)))
        await until(lambda: has_it(two), "the replica has it")
        two.swap()
        two.address.redirect(two.new.port)
        assert (await store.count("attempts", LONG)).number == 1
        assert await store.take("key 1") == b"kept"
        await asyncio.gather(*(store.put(f"key {n}", b"newer", LONG) for n in range(10)))
        assert await store.get("key 1", "key 9") == [b"newer", b"newer"]
        await store.ping()


async def test_a_redis_that_takes_no_writes_is_not_well(two: Two) -> None:
    async with open_store(two.url, "club") as store:
        await store.ping()
        two.swap()
        with pytest.raises(StoreUnavailable):
            await store.ping()
        two.address.redirect(two.new.port)
        await store.ping()


async def test_of_many_connections_that_lead_nowhere_one_is_waited_for(two: Two) -> None:
    async with open_store(two.url, "club") as store:
        await asyncio.gather(*(store.put(f"key {n}", b"kept", LONG) for n in range(20)))
        two.address.swallow()
        with pytest.raises(StoreUnavailable):
            await store.ping()
        await store.ping()
