"""Which parts of the service run, in whatever process, and how they are doing.

Every part says so where all can see it. One that ends as it should takes its row away; one that
was killed or frozen leaves a row that grows old.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import NamedTuple

import structlog

from application.ports.ledger import LedgerUnavailable
from infra.ledger.postgres import Postgres
from infra.standstill import Working

BEAT = 5.0
"""Seconds between two signs of life."""

SILENT = 20.0
"""Seconds without one after which a part counts as dead or frozen."""

FORGOTTEN_HOURS = 24
"""Hours after which nobody is told of it any more."""

logger = structlog.get_logger(__name__)

_REPORT = """
INSERT INTO parts (name, process, status, detail, since, seen_at)
SELECT name, %s, status, detail, since, now()
FROM unnest(%s::text[], %s::text[], %s::text[], %s::timestamptz[])
    AS told (name, status, detail, since)
ON CONFLICT (name, process) DO UPDATE SET status = excluded.status, detail = excluded.detail,
    since = excluded.since, seen_at = excluded.seen_at
"""
_LEAVE = "DELETE FROM parts WHERE process = %s AND name = ANY(%s)"
_FORGET = "DELETE FROM parts WHERE seen_at < now() - make_interval(hours => %s)"
_LOOK = """
SELECT name, process, status, detail, since, seen_at, now() FROM parts ORDER BY name, process
"""


class Part(NamedTuple):
    """One part, in one process."""

    name: str
    process: str
    status: str
    """`running`, `aside`, `standing` or `silent`."""
    detail: str
    since: datetime


class Parts:
    """What this process says of its parts, and what all of them say."""

    def __init__(self, postgres: Postgres) -> None:
        self.process = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}"
        self._rows = postgres.watching.rows
        self._working: dict[str, Working] = {}
        self._began: dict[str, datetime] = {}

    @asynccontextmanager
    async def reporting(self, *working: Working) -> AsyncIterator[None]:
        """Tell how these are doing, as long as the block lasts."""
        for one in working:
            self._working[one.name] = one
            self._began[one.name] = datetime.now(UTC)
        try:
            yield
        finally:
            for one in working:
                self._working.pop(one.name, None)

    def here(self) -> list[Part]:
        """The parts of this process, as they are now."""
        return [self._part(one) for one in self._working.values()]

    def _part(self, one: Working) -> Part:
        why = one.standstill
        if why is None:
            return Part(one.name, self.process, "running", "", self._began[one.name])
        status = "aside" if why.aside else "standing"
        return Part(one.name, self.process, status, why.sentence, why.since)

    async def look(self) -> list[Part]:
        """Every part of every process; raises LedgerUnavailable."""
        others = [
            Part(name, process, *_heard(status, detail, since, seen_at, now))
            for name, process, status, detail, since, seen_at, now in await self._rows(_LOOK)
            if process != self.process
        ]
        return [*self.here(), *others]

    async def run(self) -> None:
        """Tell how the parts of this process are doing, until cancelled."""
        told: list[Part] = []
        try:
            for tick in count():
                parts = self.here()
                if parts != told or tick % _TICKS == 0:
                    await self._leave([p.name for p in told if p.name not in self._working])
                    await self._tell(parts)
                    told = parts
                await asyncio.sleep(BEAT / _TICKS)
        finally:
            await self._leave([part.name for part in told])

    async def _tell(self, parts: Sequence[Part]) -> None:
        if not parts:
            return
        rows = [(p.name, p.status, p.detail, p.since) for p in parts]
        columns = [list(column) for column in zip(*rows, strict=True)]
        try:
            await self._rows(_REPORT, [self.process, *columns])
            await self._rows(_FORGET, [FORGOTTEN_HOURS])
        except LedgerUnavailable as lost:
            logger.info("parts.untold", reason=str(lost))

    async def _leave(self, names: list[str]) -> None:
        if not names:
            return
        try:
            await self._rows(_LEAVE, [self.process, names])
        except LedgerUnavailable as lost:
            logger.info("parts.untold", reason=str(lost))


_TICKS = 5
"""How often within a beat it is looked whether something changed."""


def _heard(
    status: str, detail: str, since: datetime, seen_at: datetime, now: datetime
) -> tuple[str, str, datetime]:
    """What a row says, or that it has not been heard of."""
    if now - seen_at > timedelta(seconds=SILENT):
        return "silent", f"not heard of since {seen_at:%Y-%m-%d %H:%M:%S} UTC", seen_at
    return status, detail, since
