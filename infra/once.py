"""A look that is taken once for all who ask meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Once(Generic[T]):
    """Looks for whoever asks, who is never told what was found before they asked."""

    def __init__(self, look: Callable[[], Awaitable[T]]) -> None:
        self._look = look
        self._looking: asyncio.Task[T] | None = None
        self._next: asyncio.Task[T] | None = None

    async def look(self) -> T:
        """What is found; one look goes on at a time, and the next is for all who wait."""
        if self._next is None:
            self._next = asyncio.create_task(self._look_after(self._looking))
        return await asyncio.shield(self._next)

    async def _look_after(self, before: asyncio.Task[T] | None) -> T:
        if before is not None:
            await asyncio.wait({before})
        self._looking, self._next = self._next, None
        return await self._look()
