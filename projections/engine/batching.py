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


class _Ask(Generic[K, V]):
    """One caller, who waits for some keys; nobody else is harmed when it is cancelled."""

    __slots__ = ("answer", "missing", "values")

    def __init__(self, missing: int) -> None:
        self.missing = missing
        self.values: dict[K, V] = {}
        self.answer: asyncio.Future[dict[K, V]] = asyncio.get_running_loop().create_future()

    def take(self, key: K, value: V) -> None:
        """One key is found."""
        self.values[key] = value
        self.missing -= 1
        if not self.missing and not self.answer.done():
            self.answer.set_result(self.values)

    def fail(self, fault: Exception) -> None:
        """One key could not be looked up."""
        if not self.answer.done():
            self.answer.set_exception(fault)


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
        self._starting = False
        self._wanted: dict[K, list[_Ask[K, V]]] = {}
        self._running: set[asyncio.Task[None]] = set()

    async def get(self, key: K) -> V:
        """The value of one key."""
        return (await self.get_all((key,)))[key]

    async def get_all(self, keys: Sequence[K]) -> Mapping[K, V]:
        """The values of several keys."""
        distinct = set(keys)
        if not distinct:
            return {}
        ask: _Ask[K, V] = _Ask(len(distinct))
        for key in distinct:
            self._wanted.setdefault(key, []).append(ask)
        self._start()
        return await ask.answer

    def _start(self) -> None:
        """Begin a fetch, unless one is about to take what is wanted."""
        if self._wanted and self._free and not self._starting:
            self._starting = True
            self._free -= 1
            task = asyncio.get_running_loop().create_task(self._run())
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _run(self) -> None:
        """Fetch what is wanted by the time it starts, then let the next begin."""
        self._starting = False
        keys = list(self._wanted)[: self._most_keys]
        wanted = {key: self._wanted.pop(key) for key in keys}
        self._start()
        try:
            found = await self._fetch(keys)
        except Exception as fault:  # noqa: BLE001 - handed on to everybody who asked
            for asks in wanted.values():
                for ask in asks:
                    ask.fail(fault)
        else:
            for key, asks in wanted.items():
                for ask in asks:
                    ask.take(key, found[key])
        finally:
            self._free += 1
            self._start()
