"""The club that a process of Celery's keeps open."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from types import FrameType

import pytest

from infra.bootstrap import Club
from infra.kept_open import KeptOpen
from infra.settings import Settings


class TakesTooLong(Exception):
    """What a soft time limit raises."""


def test_work_that_takes_too_long_ends_where_it_is_at_work(settings: Settings) -> None:
    """A limit interrupts whoever waits for the work; the work is in another thread."""
    ended = threading.Event()

    def interrupt(_: int, __: FrameType | None) -> None:
        raise TakesTooLong

    def is_waited_for() -> bool:
        return sys._current_frames()[waiting].f_code.co_name == "wait"

    async def endless(_: Club) -> None:
        while not is_waited_for():  # noqa: ASYNC110 - a frame tells nobody
            await asyncio.sleep(0)
        signal.pthread_kill(waiting, signal.SIGUSR1)
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    waiting = threading.get_ident()
    kept_open = KeptOpen(settings)
    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        with pytest.raises(TakesTooLong):
            kept_open.do(endless)
        assert ended.wait(10), "it was ended"
    finally:
        signal.signal(signal.SIGUSR1, before)
        kept_open.close()
