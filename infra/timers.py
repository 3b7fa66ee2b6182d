"""What time does: the club's own commands, every now and then, in a process of the service.

Where Celery runs, its beat and workers do the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from application.housekeeping import LATER
from infra.parts import TIMERS
from infra.standstill import Standstill

logger = structlog.get_logger(__name__)


class Timers:
    """Keeps house, over and over; what cannot be done now is done later."""

    name = TIMERS

    def __init__(self, keep_house: Callable[[], Awaitable[int]], every: float) -> None:
        """`keep_house` answers how many commands it gave; `every` is in seconds."""
        self.standstill: Standstill | None = None
        self._keep_house = keep_house
        self._every = every

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                done = await self._keep_house()
            except LATER as later:
                why = Standstill(f"what is due is postponed: {type(later).__name__}")
                self.standstill = self.standstill or why
                logger.warning("housekeeping.postponed", reason=type(later).__name__)
            else:
                self.standstill = None
                if done:
                    logger.info("housekeeping.expired", commands=done)
            await asyncio.sleep(self._every)
