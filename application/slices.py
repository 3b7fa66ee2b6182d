"""Long work in slices, between which everybody else in the process has a turn."""

from __future__ import annotations

import asyncio
import time

LONGEST_SLICE = 0.005
"""Seconds of work after which the others go on first."""


class Slices:
    """One piece of work, which may turn out long."""

    def __init__(self) -> None:
        self._began = time.perf_counter()

    async def between(self) -> None:
        """Let the others have their turn, where this has taken long enough by now."""
        if time.perf_counter() - self._began > LONGEST_SLICE:
            await asyncio.sleep(0)
            self._began = time.perf_counter()
