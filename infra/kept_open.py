"""The club, open for as long as a synchronous process lives, like one of Celery's worker.

Such a process is synchronous, the club is not: it is open on an event loop in a thread of its own,
and tasks hand it their work.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import TypeVar

from infra.bootstrap import Club, open_club
from infra.settings import Settings

T = TypeVar("T")


class KeptOpen:
    """Opens the club for the first task, and again where it was lost."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._thread: threading.Thread | None = None
        self._opened: Future[tuple[asyncio.AbstractEventLoop, Club, asyncio.Event]] = Future()
        self._one_at_a_time = threading.Lock()

    def do(self, work: Callable[[Club], Awaitable[T]]) -> T:
        """Have the work done; raises what it raises, or why the club cannot be opened."""
        loop, club, _ = self._open()

        async def done() -> T:
            return await work(club)

        return asyncio.run_coroutine_threadsafe(done(), loop).result()

    def close(self) -> None:
        """Close the club, where it is open."""
        thread = self._thread
        if thread is None or not thread.is_alive():
            return
        loop, _, closing = self._opened.result()
        loop.call_soon_threadsafe(closing.set)
        thread.join()

    def _open(self) -> tuple[asyncio.AbstractEventLoop, Club, asyncio.Event]:
        with self._one_at_a_time:
            if self._thread is None or not self._thread.is_alive():
                self._opened = Future()
                self._thread = threading.Thread(target=self._keep_open, name="club", daemon=True)
                self._thread.start()
        return self._opened.result()

    def _keep_open(self) -> None:
        try:
            asyncio.run(self._until_closed())
        except BaseException as fault:
            if self._opened.done():
                raise
            self._opened.set_exception(fault)

    async def _until_closed(self) -> None:
        closing = asyncio.Event()
        async with open_club(self._settings, projecting=False, reporting=True) as club:
            self._opened.set_result((asyncio.get_running_loop(), club, closing))
            await closing.wait()
