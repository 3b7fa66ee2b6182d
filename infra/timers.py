"""What time does: the club's own commands, every now and then, in a process of the service.

Where Celery runs, its beat and workers do the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from application.housekeeping import LATER
from infra.following.follower import standstill_of
from infra.parts import TIMERS
from infra.standstill import Standstill

logger = structlog.get_logger(__name__)

LONGEST_PAUSE = 600.0
"""Seconds between attempts in the end, after one fault after the other."""


def undone(name: str, fault: Exception) -> Standstill:
    """Why something that time does was not done."""
    if isinstance(fault, LATER):
        return Standstill(f"{name} is postponed: {type(fault).__name__}")
    return Standstill(f"{name}: {standstill_of(fault).sentence}")


class Timer:
    """One thing that is done over and over; what cannot be done now is done later.

    Whatever the fault is, it ends neither this nor the others.
    """

    def __init__(self, name: str, do: Callable[[], Awaitable[int]], every: float) -> None:
        """`do` answers how many things it did; `every` is in seconds."""
        self.name = name
        self.standstill: Standstill | None = None
        self._do = do
        self._every = every

    async def run(self) -> None:
        """Until cancelled."""
        pause = self._every
        while True:
            try:
                done = await self._do()
            except LATER as later:
                self._stands(undone(self.name, later))
                pause = self._every
            except Exception as fault:  # noqa: BLE001 - told, and tried again; see the class
                self._stands(undone(self.name, fault))
                pause = min(pause * 2, max(self._every, LONGEST_PAUSE))
            else:
                self.standstill = None
                pause = self._every
                if done:
                    logger.info("timer.done", timer=self.name, done=done)
            await asyncio.sleep(pause)

    def _stands(self, why: Standstill) -> None:
        if self.standstill != why:
            self.standstill = why
            logger.warning("timer.postponed", timer=self.name, reason=why.reason)


class Timers:
    """All of them, beside each other: none waits for another."""

    name = TIMERS

    def __init__(self, *timers: Timer) -> None:
        self._timers = timers

    @property
    def standstill(self) -> Standstill | None:
        """Why the first of those that do not go on does not."""
        return next((why for timer in self._timers if (why := timer.standstill)), None)

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for timer in self._timers:
                tasks.create_task(timer.run(), name=timer.name)
