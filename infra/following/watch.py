"""How far the read tables have come, and waiting until they have come far enough."""

from __future__ import annotations

import asyncio
from bisect import bisect_left, insort
from collections.abc import Callable
from itertools import count


class Watch:
    """The position that the read tables show, as far as this process knows.

    It is known for one era of the database: with another, nothing is known at first.
    """

    def __init__(self, era: Callable[[], int] = lambda: 0) -> None:
        self._era = era
        self._known_in = era()
        self._position = 0
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        """By position; the ticket tells those who wait for the same one apart."""
        self._wanted = asyncio.Event()
        self._tickets = count()

    @property
    def position(self) -> int:
        """Up to here the tables show everything."""
        if self._known_in != self._era():
            self._known_in, self._position = self._era(), 0
        return self._position

    def advance(self, position: int, era: int | None = None) -> None:
        """The tables show everything up to here, as was found out in this era; now, without."""
        self._position = max(self.position, position if era in {None, self._known_in} else 0)
        for _, _, reached in self._waiting[: bisect_left(self._waiting, (self._position + 1,))]:
            if not reached.done():
                reached.set_result(None)

    def fall_back(self, position: int) -> None:
        """The tables show less than they did: the ledger was restored to an earlier time."""
        self._position = min(self.position, position)

    async def wanted(self) -> None:
        """Wait until somebody waits for the tables to come further."""
        if not self._waiting:
            self._wanted.clear()
            await self._wanted.wait()

    async def reached(self, position: int, limit: float) -> bool:
        """Wait until the tables show `position`; False after `limit` seconds."""
        if position <= self.position:
            return True
        reached: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = (position, next(self._tickets), reached)
        insort(self._waiting, waiting)
        self._wanted.set()
        timer = asyncio.get_running_loop().call_later(limit, reached.cancel)
        try:
            await reached
        except asyncio.CancelledError:
            if not reached.cancelled() or _cancelling():
                raise
            return False
        finally:
            timer.cancel()
            del self._waiting[bisect_left(self._waiting, waiting)]
        return True


def _cancelling() -> bool:
    """Whether it is the task itself that is being cancelled, not only its waiting."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
