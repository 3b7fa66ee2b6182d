"""The stores of what is short-lived: the real Redis and this process's memory keep one contract."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import redis.asyncio as redis

from application.ports.signing_in import Count, StoreUnavailable
from infra.short_lived import (
    LEFT_ALONE,
    LONGEST_MARK,
    LONGEST_WAIT,
    MOST_CONNECTIONS,
    PREFIX,
    InProcessStore,
    Marks,
    NotARedis,
    Store,
    open_store,
)
from tests.servers import RedisServer, private_redis
from tests.waiting import until

LONG = 60.0
SHORT = 0.2
KINDS = ("in this process", "in Redis")


@dataclass
class Shelf:
    """A store, as two processes see it, with keys that no other test has."""

    store: Store
    other: Store
    """The same entries, over another process's connections where there may be one."""
    url: str | None
    name: str = field(default_factory=lambda: f"test:{uuid.uuid4().hex}:")

    def key(self, name: str = "key") -> str:
        return self.name + name

    async def one(self, name: str = "key") -> bytes | None:
        (found,) = await self.store.get(self.key(name))
        return found

    async def ends(self, name: str = "key") -> None:
        """Wait until it is kept no longer."""

        async def gone() -> bool:
            return await self.one(name) is None

        await until(gone, f"{name} ends")

    async def lives(self) -> list[int]:
        """What each of this test's keys in Redis has left, in ms: -1 is for ever, -2 is gone."""
        assert self.url is not None
        async with redis.Redis.from_url(self.url) as client:
            names = [name async for name in client.scan_iter(match=f"{PREFIX}:*{self.name}*")]
            return [await client.pttl(name) for name in names]


@pytest.fixture(params=KINDS)
async def shelf(request: pytest.FixtureRequest) -> AsyncIterator[Shelf]:
    """An empty shelf in either store."""
    async with AsyncExitStack() as stack:
        if request.param == KINDS[0]:
            store = await stack.enter_async_context(open_store(None))
            yield Shelf(store, store, None)
        else:
            url = request.getfixturevalue("redis_url")
            first = await stack.enter_async_context(open_store(url))
            second = await stack.enter_async_context(open_store(url))
            yield Shelf(first, second, url)


async def test_two_clubs_on_one_redis_do_not_meet(redis_url: str) -> None:
    key = uuid.uuid4().hex
    async with open_store(redis_url, "one club") as one, open_store(redis_url, "another") as other:
        await one.put(key, b"kept", LONG)
        assert await other.get(key) == [None]
        assert (await other.count(key + "n", LONG)).number == 1
        assert (await one.count(key + "n", LONG)).number == 1


# --- entries -----------------------------------------------------------------------------------


async def test_what_was_put_is_found_until_it_is_taken(shelf: Shelf) -> None:
    await shelf.store.put(shelf.key(), b"kept", LONG)
    assert await shelf.one() == b"kept"
    assert await shelf.other.get(shelf.key()) == [b"kept"]
    assert await shelf.other.take(shelf.key()) == b"kept"
    assert await shelf.one() is None
    assert await shelf.store.take(shelf.key()) is None


async def test_several_are_found_at_once_in_the_order_of_the_question(shelf: Shelf) -> None:
    a, b, none = shelf.key("a"), shelf.key("b"), shelf.key("none")
    await shelf.store.put(a, b"A", LONG)
    await shelf.store.put(b, b"B", LONG)
    assert list(await shelf.store.get(b, none, a, b)) == [b"B", None, b"A", b"B"]


async def test_what_is_dropped_is_gone_and_may_not_have_been_there(shelf: Shelf) -> None:
    await shelf.store.put(shelf.key("a"), b"A", LONG)
    await shelf.store.put(shelf.key("b"), b"B", LONG)
    await shelf.store.count(shelf.key("c"), LONG)
    await shelf.store.drop(shelf.key("a"), shelf.key("none"), shelf.key("c"))
    assert await shelf.one("a") is None
    assert await shelf.one("b") == b"B"
    assert (await shelf.store.count(shelf.key("c"), LONG)).number == 1


async def test_an_entry_ends_by_itself_and_not_before(shelf: Shelf) -> None:
    begun = time.monotonic()
    await shelf.store.put(shelf.key(), b"kept", SHORT)
    assert await shelf.one() == b"kept"
    await shelf.ends()
    assert time.monotonic() - begun > SHORT - 0.01
    assert await shelf.store.take(shelf.key()) is None


async def test_what_has_ended_cannot_be_taken_even_if_nobody_looked(shelf: Shelf) -> None:
    await shelf.store.put(shelf.key(), b"kept", SHORT)
    await shelf.store.put(shelf.key("watched"), b"", SHORT)
    await shelf.ends("watched")
    assert await shelf.store.take(shelf.key()) is None


async def test_putting_again_counts_with_a_longer_life(shelf: Shelf) -> None:
    await shelf.store.put(shelf.key(), b"first", SHORT)
    await shelf.store.put(shelf.key(), b"second", LONG)
    await shelf.store.put(shelf.key("watched"), b"", SHORT)
    await shelf.ends("watched")
    assert await shelf.one() == b"second"


async def test_putting_again_counts_with_a_shorter_life(shelf: Shelf) -> None:
    await shelf.store.put(shelf.key(), b"first", LONG)
    await shelf.store.put(shelf.key(), b"second", SHORT)
    assert await shelf.one() == b"second"
    await shelf.ends()


async def test_of_many_who_take_at_once_exactly_one_gets_it(shelf: Shelf) -> None:
    for _ in range(20):
        await shelf.store.put(shelf.key(), b"once", LONG)
        takers = [shelf.store, shelf.other] * 10
        taken = await asyncio.gather(*(store.take(shelf.key()) for store in takers))
        assert sorted(found or b"" for found in taken) == [b""] * 19 + [b"once"]


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(bytes(range(256)), id="every byte"),
        pytest.param(b"\r\n$-1\r\n*0\r\n", id="words of the protocol"),
        pytest.param(b"\xff" * 1_000_000, id="a megabyte"),
    ],
)
async def test_a_value_comes_back_byte_for_byte(shelf: Shelf, value: bytes) -> None:
    await shelf.store.put(shelf.key(), value, LONG)
    assert await shelf.one() == value
    assert await shelf.store.take(shelf.key()) == value


ODD = (
    "",
    " ",
    "a b",
    "*",
    "k[ey]?",
    "k\\*",
    "\0",
    "a\r\nFLUSHALL\r\n",
    "clé",
    "鍵🔑",
    "'\"",
    "%s{}",
)


async def test_odd_characters_make_keys_of_their_own(shelf: Shelf) -> None:
    names = [*ODD, "x" * 10_000, "x" * 10_001]
    for name in names:
        await shelf.store.put(shelf.key(name), name.encode(), LONG)
    found = await shelf.store.get(*(shelf.key(name) for name in names))
    assert list(found) == [name.encode() for name in names]
    for name in names:
        assert (await shelf.store.count(shelf.key(f"count {name}"), LONG)).number == 1
    await shelf.store.drop(shelf.key("*"))
    assert await shelf.one("a b") == b"a b"


# --- counts ------------------------------------------------------------------------------------


async def test_counting_begins_at_one_and_each_key_has_a_count_of_its_own(shelf: Shelf) -> None:
    counted = [(await shelf.store.count(shelf.key("a"), LONG)).number for _ in range(3)]
    assert counted == [1, 2, 3]
    assert (await shelf.other.count(shelf.key("a"), LONG)).number == 4
    assert (await shelf.store.count(shelf.key("b"), LONG)).number == 1


async def test_a_window_begins_with_the_first_and_others_do_not_make_it_longer(
    shelf: Shelf,
) -> None:
    begun = time.monotonic()
    first = await shelf.store.count(shelf.key(), SHORT)
    assert 0 < first.seconds_left <= SHORT
    last = [first]

    async def begun_anew() -> bool:
        counted = await shelf.store.count(shelf.key(), SHORT)
        if counted.number == 1:
            return True
        assert counted.number == last[0].number + 1
        assert 0 <= counted.seconds_left <= last[0].seconds_left
        last[0] = counted
        return False

    await until(begun_anew, "the window ends")
    assert time.monotonic() - begun > SHORT - 0.01


async def test_many_who_count_at_once_are_all_counted(shelf: Shelf) -> None:
    many = 4 * MOST_CONNECTIONS
    counters = [shelf.store, shelf.other] * (many // 2)
    counted = await asyncio.gather(*(store.count(shelf.key(), LONG) for store in counters))
    assert sorted(count.number for count in counted) == list(range(1, many + 1))
    assert all(LONG - 30 < count.seconds_left <= LONG for count in counted)


async def test_what_is_counted_back_is_not_counted_within_the_same_window(shelf: Shelf) -> None:
    for _ in range(3):
        await shelf.store.count(shelf.key(), LONG)
    await shelf.other.uncount(shelf.key(), 2 * LONG)
    counted = await shelf.store.count(shelf.key(), LONG)
    assert counted.number == 3
    assert counted.seconds_left <= LONG


async def test_both_stores_answer_alike_whatever_is_asked(redis_url: str) -> None:
    name, dice = uuid.uuid4().hex, random.Random(7)
    calls: list[Callable[[Store, str], Awaitable[Any]]] = [
        lambda store, key: store.put(key, key.encode(), LONG),
        lambda store, key: store.get(key, f"{name}:entry:0"),
        lambda store, key: store.take(key),
        lambda store, key: store.drop(key, f"{name}:count:0"),
    ]
    async with open_store(redis_url) as real, open_store(None) as own:
        for _ in range(1000):
            number = dice.randrange(4)
            if dice.random() < 0.3:
                key = f"{name}:count:{number}"
                counts = [await store.count(key, LONG) for store in (real, own)]
                assert counts[0].number == counts[1].number
            else:
                call = dice.choice(calls)
                assert await call(real, f"{name}:entry:{number}") == await call(
                    own, f"{name}:entry:{number}"
                )


# --- nothing is kept for ever ------------------------------------------------------------------


async def test_nothing_is_in_redis_without_an_end(redis_url: str) -> None:
    """Not even a count whose window ends while it is counted."""
    async with open_store(redis_url) as store:
        shelf = Shelf(store, store, redis_url)
        await store.put(shelf.key("put"), b"", LONG)
        await store.put(shelf.key("put"), b"again", LONG)
        await store.put(shelf.key("short"), b"", 0)
        for _ in range(200):
            keys = [shelf.key(f"count {number}") for number in range(10)]
            await asyncio.gather(*(store.count(key, 0.001) for key in keys))
        await store.count(shelf.key("count"), LONG)
        lives = await shelf.lives()
        assert len(lives) >= 2
        assert all(life != -1 for life in lives)
        assert max(lives) <= LONG * 1000


class Hours:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def test_an_entry_in_this_process_ends_to_the_moment() -> None:
    clock = Hours()
    store = InProcessStore(clock)
    await store.put("a", b"A", 10)
    assert await store.count("c", 10) == Count(1, 10)
    clock.now += 9.75
    assert list(await store.get("a")) == [b"A"]
    assert await store.count("c", 99) == Count(2, 0.25)
    clock.now += 0.25
    assert list(await store.get("a")) == [None]
    assert await store.count("c", 5) == Count(1, 5)


async def test_a_key_that_was_dropped_and_put_again_lives_its_second_life() -> None:
    clock = Hours()
    store = InProcessStore(clock)
    await store.put("a", b"first", 5)
    await store.take("a")
    clock.now += 3
    await store.put("a", b"second", 5)
    clock.now += 4
    assert list(await store.get("a")) == [b"second"]
    clock.now += 1
    assert list(await store.get("a")) == [None]


async def test_a_million_short_lives_do_not_fill_the_memory_of_this_process() -> None:
    clock = Hours()
    store = InProcessStore(clock)
    process = psutil.Process()
    before = process.memory_info().rss
    for number in range(500_000):
        clock.now += 0.001
        await store.put(f"entry {number}", b"x" * 100, 1)
        await store.count(f"count {number}", 1)
    assert process.memory_info().rss - before < 50_000_000
    assert list(await store.get("entry 498000", "entry 499999")) == [None, b"x" * 100]


# --- a Redis that does not answer --------------------------------------------------------------

CALLS: dict[str, Callable[[Store], Awaitable[Any]]] = {
    "ping": lambda store: store.ping(),
    "put": lambda store: store.put("test:k", b"v", LONG),
    "get": lambda store: store.get("test:k", "test:l"),
    "take": lambda store: store.take("test:k"),
    "drop": lambda store: store.drop("test:k"),
    "count": lambda store: store.count("test:k", LONG),
}


async def refusals(store: Store) -> set[str]:
    """The calls that say why the store cannot be reached, each within twice the longest wait."""
    refused = set()
    for name, call in CALLS.items():
        begun = time.monotonic()
        try:
            await call(store)
        except StoreUnavailable as unavailable:
            if str(unavailable):
                refused.add(name)
        assert time.monotonic() - begun < 2 * LONGEST_WAIT
    return refused


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with private_redis() as private:
        yield private


@pytest.mark.parametrize(
    "url", ["redis://127.0.0.1:1/0", "rediss://127.0.0.1:1/0", "unix:///nowhere/redis.sock"]
)
async def test_every_call_says_so_where_there_is_no_redis(url: str) -> None:
    async with open_store(url) as store:
        assert await refusals(store) == set(CALLS)


async def test_every_call_says_so_where_something_else_answers() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1000):
            writer.write(b"\xffHTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as other:
        port = other.sockets[0].getsockname()[1]
        async with open_store(f"redis://127.0.0.1:{port}/0") as store:
            assert await refusals(store) == set(CALLS)


async def test_every_call_says_so_while_redis_is_frozen_and_none_once_it_is_not(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.short_lived.LONGEST_WAIT", 0.3)
    async with open_store(server.url) as store:
        assert await refusals(store) == set()
        server.freeze()
        assert await refusals(store) == set(CALLS)
        server.thaw()
        assert await refusals(store) == set()


async def test_every_call_says_so_to_a_stranger_and_not_to_whoever_knows_the_password(
    server: RedisServer,
) -> None:
    async with redis.Redis.from_url(server.url) as client:
        await client.config_set("requirepass", "geheim")
    async with open_store(server.url) as store:
        assert await refusals(store) == set(CALLS)
    async with open_store(server.url.replace("redis://", "redis://:geheim@")) as store:
        assert await refusals(store) == set()


async def test_a_redis_that_came_back_answers_every_first_call(server: RedisServer) -> None:
    """Whether anybody called while it was away or not, over each of many connections."""
    many = 20
    async with open_store(server.url) as store:
        for calls_while_away in (0, 1):
            await asyncio.gather(*(store.count("test:before", LONG) for _ in range(many)))
            await asyncio.to_thread(server.stop)
            for _ in range(calls_while_away):
                assert await refusals(store) == set(CALLS)
            await asyncio.to_thread(server.start)
            assert (await store.count("test:first", LONG)).number == 1
            counted = await asyncio.gather(*(store.count("test:k", LONG) for _ in range(many)))
            assert sorted(count.number for count in counted) == list(range(1, many + 1))


async def test_a_store_closes_at_once_while_redis_is_frozen(server: RedisServer) -> None:
    async with open_store(server.url) as store:
        await asyncio.gather(*(store.count("test:k", LONG) for _ in range(20)))
        server.freeze()
        begun = time.monotonic()
    assert time.monotonic() - begun < LONGEST_WAIT


@pytest.mark.parametrize(
    "url",
    [
        "redis://:geheim@127.0.0.1:port/0",
        "redis://:geheim@[::1/0",
        "redis://:geheim@127.0.0.1:99999/0",
        "redis://:geheim@127.0.0.1/0?timeout=forever",
    ],
)
async def test_a_url_that_cannot_be_read_is_said_without_quoting_it(url: str) -> None:
    with pytest.raises(NotARedis, match=r"^CLUB_REDIS_URL is not the URL of a Redis") as said:
        async with open_store(url):
            pass
    assert "geheim" not in str(said.value)
    assert said.value.__suppress_context__


# --- marks, which can be done without ----------------------------------------------------------


async def test_marks_are_those_of_the_store(shelf: Shelf) -> None:
    marks, others = Marks(shelf.store), Marks(shelf.other)

    async def kept() -> bool:
        """A busy machine may be too slow for what can be done without."""
        await marks.put(shelf.key("a"), b"A", LONG)
        return list(await others.get(shelf.key("a"), shelf.key("b"))) == [b"A", None]

    await until(kept, "a mark is kept, and found by others")
    await marks.put(shelf.key("short"), b"", SHORT)
    await shelf.ends("short")
    assert list(await marks.get(shelf.key("short"))) == [None]


@pytest.fixture
def moment(monkeypatch: pytest.MonkeyPatch) -> Hours:
    """The clock by which a store is left alone."""
    clock = Hours()
    monkeypatch.setattr("infra.short_lived.time", SimpleNamespace(monotonic=clock))
    return clock


class Asked:
    """A store that cannot be reached, and how often it was asked."""

    def __init__(self) -> None:
        self.times = 0
        self.there = False

    async def get(self, *keys: str) -> list[bytes | None]:
        self.times += 1
        if not self.there:
            raise StoreUnavailable("it is gone")
        return [b"there"] * len(keys)


async def test_a_store_that_did_not_answer_is_left_alone_for_a_while(moment: Hours) -> None:
    store: Any = Asked()
    marks = Marks(store)
    for _ in range(10):
        assert list(await marks.get("a", "b")) == [None, None]
    assert store.times == 1
    store.there = True
    moment.now += LEFT_ALONE - 0.01
    assert list(await marks.get("a")) == [None]
    moment.now += 0.02
    assert list(await marks.get("a")) == [b"there"]
    assert store.times == 2


async def test_nobody_waits_long_for_marks_of_a_frozen_redis(server: RedisServer) -> None:
    async with open_store(server.url) as store:
        marks = Marks(store)
        await marks.put("test:a", b"A", LONG)
        server.freeze()
        begun = time.monotonic()
        for _ in range(100):
            assert list(await marks.get("test:a")) == [None]
            await marks.put("test:b", b"B", LONG)
        assert time.monotonic() - begun < LONGEST_MARK + 0.5


async def test_a_call_that_was_given_up_leaves_no_answer_behind_for_another(
    server: RedisServer,
) -> None:
    """Nor does it keep its connection, of which there are only so many."""
    async with open_store(server.url) as store:
        for name in ("a", "b"):
            await store.put(f"test:{name}", name.encode(), LONG)
        await asyncio.gather(*(store.get("test:a") for _ in range(MOST_CONNECTIONS)))
        server.freeze()
        for _ in range(3):
            impatient = (Marks(store).get("test:a") for _ in range(MOST_CONNECTIONS))
            assert {tuple(found) for found in await asyncio.gather(*impatient)} == {(None,)}
        server.thaw()
        answers = await asyncio.gather(*(store.get("test:b") for _ in range(2 * MOST_CONNECTIONS)))
        assert {tuple(found) for found in answers} == {(b"b",)}
