"""Concurrent look-ups, collected into one.

While a look-up is under way, the next ones wait and are then made together. A look-up never
joins one that has begun: it may have been asked for because of something newer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Batcher(Generic[K, V]):
    """Looks keys up, many at once."""

    def __init__(
        self,
        fetch: Callable[[Sequence[K]], Awaitable[Mapping[K, V]]],
        *,
        most_keys: int = 1000,
        most_fetches: int = 2,
    ) -> None:
        """`fetch` answers every key it is given; `most_fetches` of it may run at once."""
        self._fetch = fetch
        self._most_keys = most_keys
        self._free = most_fetches
        self._wanted: dict[K, asyncio.Future[V]] = {}
        self._running: set[asyncio.Task[None]] = set()

    async def get(self, key: K) -> V:
        """The value of one key."""
        future = self._wanted.get(key)
        if future is None:
            future = self._wanted[key] = asyncio.get_running_loop().create_future()
            self._start()
        return await asyncio.shield(future)

    async def get_all(self, keys: Sequence[K]) -> Mapping[K, V]:
        """The values of several keys."""
        loop = asyncio.get_running_loop()
        futures = {}
        for key in keys:
            futures[key] = self._wanted.setdefault(key, loop.create_future())
        self._start()
        await asyncio.gather(*(asyncio.shield(future) for future in futures.values()))
        return {key: future.result() for key, future in futures.items()}

    def _start(self) -> None:
        if self._wanted and self._free:
            self._free -= 1
            task = asyncio.get_running_loop().create_task(self._run())
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _run(self) -> None:
        """Fetch what is wanted by the time it starts, then let the next begin."""
        keys = list(self._wanted)[: self._most_keys]
        wanted = {key: self._wanted.pop(key) for key in keys}
        try:
            found = await self._fetch(keys)
        except Exception as fault:  # noqa: BLE001 - handed on to everybody who asked
            for future in wanted.values():
                future.set_exception(fault)
                future.exception()
        else:
            for key, future in wanted.items():
                future.set_result(found[key])
        finally:
            self._free += 1
            self._start()
