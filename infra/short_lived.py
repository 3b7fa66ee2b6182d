"""The two stores of what is short-lived: Redis, and this process's own memory."""

from __future__ import annotations

import asyncio
import hashlib
import heapq
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import count
from typing import TypeVar

import redis.asyncio as redis
import structlog
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig

from application.ports.signing_in import Count, ShortLivedStore, StoreUnavailable
from infra.faults import Fault

LONGEST_WAIT = 1.0
"""Seconds to wait for Redis, to connect and for an answer."""

PREFIX = "club"
"""In front of every key, as a Redis may serve others too."""

MOST_CONNECTIONS = 50
"""More calls at once than this wait for one another, no longer than for Redis."""

LONGEST_MARK = 0.25
"""Seconds to wait where the answer can be done without."""

LEFT_ALONE = 5.0
"""Seconds for which a store that did not answer is not asked for what can be done without."""

T = TypeVar("T")
logger = structlog.get_logger(__name__)


class InProcessStore:
    """Keeps everything in memory; good for one process, and gone with it."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._entries: dict[str, tuple[bytes, float]] = {}
        self._counts: dict[str, tuple[int, float]] = {}
        self._ends: list[tuple[float, int, str]] = []
        """When which key may end, the earliest first, so that nothing is kept for ever."""
        self._order = count()

    async def ping(self) -> None:
        """It is always there."""

    async def put(self, key: str, value: bytes, seconds: float) -> None:
        """Keep it for so long."""
        self._entries[key] = value, self._until(key, seconds)

    async def get(self, *keys: str) -> Sequence[bytes | None]:
        """What is kept under each of these keys."""
        self._forget()
        return [self._entries[key][0] if key in self._entries else None for key in keys]

    async def take(self, key: str) -> bytes | None:
        """What is kept, which is then gone."""
        self._forget()
        kept = self._entries.pop(key, None)
        return None if kept is None else kept[0]

    async def drop(self, *keys: str) -> None:
        """Keep these no longer."""
        for key in keys:
            self._entries.pop(key, None)
            self._counts.pop(key, None)

    async def count(self, key: str, seconds: float) -> Count:
        """Count one more."""
        self._forget()
        number, until = self._counts.get(key) or (0, self._until(key, seconds))
        self._counts[key] = number + 1, until
        return Count(number + 1, until - self._now())

    async def uncount(self, key: str, seconds: float) -> None:
        """Count one less."""
        self._forget()
        number, until = self._counts.get(key) or (0, self._until(key, seconds))
        self._counts[key] = number - 1, until

    def _until(self, key: str, seconds: float) -> float:
        self._forget()
        until = self._now() + seconds
        heapq.heappush(self._ends, (until, next(self._order), key))
        return until

    def _forget(self) -> None:
        """Let go of what has ended."""
        now = self._now()
        while self._ends and self._ends[0][0] <= now:
            _, _, key = heapq.heappop(self._ends)
            # It may have been put again since, and end later.
            if key in self._entries and self._entries[key][1] <= now:
                del self._entries[key]
            if key in self._counts and self._counts[key][1] <= now:
                del self._counts[key]


class RedisStore:
    """Keeps everything in a Redis, for any number of processes."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._client = client
        self._prefix = prefix

    async def ping(self) -> None:
        """Raises StoreUnavailable where Redis does not answer, or takes no writes."""
        await self.put("ping", b"", 1)

    async def put(self, key: str, value: bytes, seconds: float) -> None:
        """Keep it for so long."""
        name, life = self._prefix + key, _milliseconds(seconds)
        await self._ask(lambda: self._client.set(name, value, px=life))

    async def get(self, *keys: str) -> Sequence[bytes | None]:
        """What is kept under each of these keys."""
        names = self._named(*keys)
        return [_bytes(found) for found in await self._ask(lambda: self._client.mget(names))]

    async def take(self, key: str) -> bytes | None:
        """What is kept, which is then gone."""
        return _bytes(await self._ask(lambda: self._client.getdel(self._prefix + key)))

    async def drop(self, *keys: str) -> None:
        """Keep these no longer."""
        await self._ask(lambda: self._client.delete(*self._named(*keys)))

    async def count(self, key: str, seconds: float) -> Count:
        """Count one more, in one transaction, so that no count is left without an end."""
        return await self._add(key, 1, seconds)

    async def uncount(self, key: str, seconds: float) -> None:
        """Count one less, likewise."""
        await self._add(key, -1, seconds)

    async def _add(self, key: str, more: int, seconds: float) -> Count:
        name = self._prefix + key
        number, left = await self._ask(lambda: self._added(name, more, seconds))
        return Count(number, left / 1000)

    async def _added(self, name: str, more: int, seconds: float) -> tuple[int, int]:
        async with self._client.pipeline(transaction=True) as steps:
            steps.set(name, 0, px=_milliseconds(seconds), nx=True)
            steps.incrby(name, more)
            steps.pttl(name)
            _, number, left = await steps.execute()
        return number, left

    async def _ask(self, ask: Callable[[], Awaitable[T]]) -> T:
        """The answer, from a server that takes writes; raises StoreUnavailable.

        One that may only be read has done nothing, and the address may lead to another by now.
        """
        try:
            try:
                return await ask()
            except redis.ReadOnlyError:
                pool = self._client.connection_pool
                await pool.update_active_connections_for_reconnect()  # type: ignore[no-untyped-call]
                await self._leave()
                return await ask()
        except (redis.ConnectionError, redis.TimeoutError) as lost:
            # Nobody else has to find out by waiting on a connection like this one.
            await self._leave()
            raise StoreUnavailable(str(lost) or type(lost).__name__) from lost
        except redis.RedisError as fault:
            raise StoreUnavailable(str(fault) or type(fault).__name__) from fault

    async def _leave(self) -> None:
        """Close the connections that are idle: who asks next gets a new one."""
        await self._client.connection_pool.disconnect(inuse_connections=False)

    def _named(self, *keys: str) -> list[str]:
        return [self._prefix + key for key in keys]


def _bytes(found: bytes | str | None) -> bytes | None:
    """The client answers bytes; its types know that it might be told to answer text."""
    return found.encode() if isinstance(found, str) else found


def _prefix(ledger_id: str) -> str:
    return f"{PREFIX}:{hashlib.sha256(ledger_id.encode()).hexdigest()[:16]}:"


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))


Store = InProcessStore | RedisStore


class NotARedis(Fault):
    """CLUB_REDIS_URL is not the URL of a Redis: redis://[[NAME]:PASSWORD@]HOST[:PORT][/NUMBER]."""


@asynccontextmanager
async def open_store(url: str | None, ledger_id: str = "") -> AsyncIterator[Store]:
    """The store of this URL, or of this process where there is none.

    `ledger_id` keeps clubs apart that share a Redis. Redis need not be there yet: each call finds
    out for itself. Nothing is tried twice, as what was taken or counted once may have happened
    although the answer was lost.
    """
    if url is None:
        yield InProcessStore()
        return
    client = redis.Redis.from_pool(_pool(url))
    try:
        yield RedisStore(client, _prefix(ledger_id))
    finally:
        await client.aclose()


def _pool(url: str) -> redis.BlockingConnectionPool:
    """Connections to the Redis of this URL; raises NotARedis."""
    try:
        pool: redis.BlockingConnectionPool = redis.BlockingConnectionPool.from_url(
            url,
            socket_timeout=LONGEST_WAIT,
            socket_connect_timeout=LONGEST_WAIT,
            timeout=LONGEST_WAIT,
            retry=Retry(NoBackoff(), 0),
            max_connections=MOST_CONNECTIONS,
            client_name="club",
            # With these, the pool hands out connections that a restarted Redis has closed.
            maint_notifications_config=MaintNotificationsConfig(enabled=False),
        )
        pool.make_connection()  # type: ignore[no-untyped-call]
    except (ValueError, TypeError):
        # What is wrong with it may quote the password.
        raise NotARedis from None
    return pool


class Marks:
    """What may be noted in the store, and is done without where the store does not answer.

    A store that does not answer is left alone for a while, so that nobody waits for it.
    """

    def __init__(self, store: ShortLivedStore) -> None:
        self._store = store
        self._left_alone_until = 0.0

    async def put(self, key: str, value: bytes, seconds: float) -> None:
        """Note it, if that can be."""
        await self._if_there(lambda: self._store.put(key, value, seconds))

    async def get(self, *keys: str) -> Sequence[bytes | None]:
        """What was noted; nothing where the store does not answer."""
        return await self._if_there(lambda: self._store.get(*keys)) or [None] * len(keys)

    async def count(self, key: str, seconds: float) -> Count:
        """Count one more; nothing happened so far where the store does not answer."""
        counted = await self._if_there(lambda: self._store.count(key, seconds))
        return Count(0, seconds) if counted is None else counted

    async def uncount(self, key: str, seconds: float) -> None:
        """Count one less, if that can be."""
        await self._if_there(lambda: self._store.uncount(key, seconds))

    async def _if_there(self, call: Callable[[], Awaitable[T]]) -> T | None:
        if time.monotonic() < self._left_alone_until:
            return None
        try:
            async with asyncio.timeout(LONGEST_MARK):
                return await call()
        except (StoreUnavailable, TimeoutError) as lost:
            self._left_alone_until = time.monotonic() + LEFT_ALONE
            logger.warning("store.unavailable", reason=str(lost) or type(lost).__name__)
            return None
