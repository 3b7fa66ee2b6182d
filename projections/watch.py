"""How far the read tables have come, and waiting until they have come far enough."""

from __future__ import annotations

import asyncio
import heapq
from itertools import count


class Watch:
    """The position that the read tables show, as far as this process knows."""

    def __init__(self) -> None:
        self.position = 0
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._tickets = count()

    def advance(self, position: int) -> None:
        """The tables show everything up to here."""
        self.position = max(self.position, position)
        while self._waiting and self._waiting[0][0] <= self.position:
            _, _, reached = heapq.heappop(self._waiting)
            if not reached.done():
                reached.set_result(None)

    async def reached(self, position: int, limit: float) -> bool:
        """Wait until the tables show `position`; False after `limit` seconds."""
        if position <= self.position:
            return True
        reached: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (position, next(self._tickets), reached))
        timer = asyncio.get_running_loop().call_later(limit, reached.cancel)
        try:
            await reached
        except asyncio.CancelledError:
            if not reached.cancelled() or _cancelling():
                raise
            return False
        finally:
            timer.cancel()
        return True


def _cancelling() -> bool:
    """Whether it is the task itself that is being cancelled, not only its waiting."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
