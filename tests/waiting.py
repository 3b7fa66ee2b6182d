"""Waiting for a condition, in tests that run in an event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def until(condition: Callable[[], Awaitable[T | None]], what: str, patience: float = 30) -> T:
    """What the condition gives as soon as it gives something."""
    deadline = time.monotonic() + patience
    while not (found := await condition()):
        assert time.monotonic() < deadline, f"not within {patience:.0f} s: {what}"
        await asyncio.sleep(0.01)
    return found
