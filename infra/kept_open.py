"""The club, open for as long as a synchronous process lives, like one of Celery's worker.

Such a process is synchronous, the club is not: it is open on an event loop in a thread of its own,
and tasks hand it their work. From another thread it tells the others how it is doing, whatever its
own is at.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import TypeVar

import psycopg
import structlog

from application.ports.ledger import LedgerUnavailable
from infra.bootstrap import Club, open_club
from infra.faults import Fault
from infra.settings import Settings
from infra.standstill import Working

T = TypeVar("T")

RETRY = 2.0
"""Seconds between attempts to open the club where nobody but other processes waits for it."""

logger = structlog.get_logger(__name__)


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

        at_work = asyncio.run_coroutine_threadsafe(done(), loop)
        try:
            return at_work.result()
        finally:
            # Whoever is told to end by a time limit does not leave the work behind.
            at_work.cancel()

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


class Telling:
    """Tells all others how this process is doing, from a thread of its own."""

    def __init__(self, settings: Settings, working: Working) -> None:
        # It needs nothing but the ledger.
        self._settings = settings.model_copy(update={"redis_url": None, "amqp_url": None})
        self._working = working
        self._loop = asyncio.new_event_loop()
        self._ending = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="telling", daemon=True)

    def start(self) -> None:
        """Begin to tell; while the club cannot be opened, go on trying."""
        self._thread.start()

    def stop(self) -> None:
        """Take back what was told: this process ends as it should."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._ending.set)
            self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._until_ended())

    async def _until_ended(self) -> None:
        while not self._ending.is_set():
            try:
                await self._tell()
            except* (Fault, LedgerUnavailable, psycopg.Error) as away:
                logger.warning("parts.untold", reason=str(away.exceptions[0]))
            with suppress(TimeoutError):
                async with asyncio.timeout(RETRY):
                    await self._ending.wait()

    async def _tell(self) -> None:
        async with (
            open_club(self._settings, projecting=False, reporting=True) as club,
            club.parts.reporting(self._working),
        ):
            await self._ending.wait()
