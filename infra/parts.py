"""Which parts of the service run, in whatever process, and how they are doing.

Every part says so where all can see it. One that ends as it should takes its row away; one that
was killed or frozen leaves a row that grows old, until another of its name on the same machine
takes its place, or a day has passed.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, NamedTuple

import psutil
import structlog

from application.ports.ledger import LedgerUnavailable
from infra.ledger.postgres import Postgres
from infra.servers.processes import has_ended
from infra.standstill import Doing, Standstill, Working

API = "api"
RELAY = "relay"
COMMANDS = "commands"
PAYMENTS = "payments"
TIMERS = "timers"
WORKER = "worker"
REPORT_WORKER = "report-worker"
BEAT = "beat"
BOT = "bot"
SEALS = "seals"
SEALS_OUT = "seals-out"
PUBLISHER = "publisher"
STREAM = "stream"
"""The names of parts; a projector has that of its group."""

TASKS = "club.tasks"
"""The queue of Celery's worker, for what time does."""

REPORTS = "club.reports"
"""That of its worker for reports, so that no long refresh holds up the other."""

EVERY = 5.0
"""Seconds between two signs of life."""

SILENT = 20.0
"""Seconds without one after which a part counts as dead or frozen."""

REPLACED = 10.0
"""Seconds without one after which a part counts as replaced by another that began since."""

FORGOTTEN_HOURS = 24
"""Hours after which nobody is told of it any more."""

logger = structlog.get_logger(__name__)

_TELL = """
INSERT INTO parts (name, process, status, detail, since, seen_at)
SELECT name, %s, status, detail, since, now()
FROM unnest(%s::text[], %s::text[], %s::text[], %s::timestamptz[])
    AS told (name, status, detail, since)
ON CONFLICT (name, process) DO UPDATE SET status = excluded.status, detail = excluded.detail,
    since = excluded.since, seen_at = excluded.seen_at
"""
_LEAVE = "DELETE FROM parts WHERE process = %s AND name = ANY(coalesce(%s::text[], ARRAY[name]))"
_FORGET = "DELETE FROM parts WHERE seen_at < now() - make_interval(hours => %s)"
# What on this machine was silent before another of its name came.
_REPLACED = """
SELECT process FROM parts
WHERE process <> %s AND starts_with(process, %s) AND EXISTS (
    SELECT FROM unnest(%s::text[], %s::float8[]) AS mine (name, seconds)
    WHERE mine.name = parts.name
      AND seen_at < now() - make_interval(secs => greatest(mine.seconds, %s)))
"""

LOOK = """
SELECT coalesce(json_agg(json_build_object(
    'name', name, 'process', process, 'status', status, 'detail', detail,
    'since', to_char(since AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"'),
    'seen_at', to_char(seen_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"'),
    'silent', extract(epoch FROM now() - seen_at)) ORDER BY name, process), '[]')
FROM parts
"""
"""Every part of every process, as JSON for `Parts.all`."""


class Part(NamedTuple):
    """One part, in one process."""

    name: str
    process: str
    status: str
    """`running`, `aside`, `standing` or `silent`."""
    detail: str
    since: datetime


class Plain:
    """A part that works as long as its process does."""

    standstill: Standstill | None = None

    def __init__(self, name: str) -> None:
        self.name = name


class Parts:
    """What this process says of its parts, and what all of them say."""

    def __init__(self, postgres: Postgres) -> None:
        self._machine = f"{socket.gethostname()}:"
        self.process = f"{self._machine}{os.getpid()}:{secrets.token_hex(3)}"
        self.told = False
        """Whether this process tells the others of its parts."""
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
            detail = one.doing if isinstance(one, Doing) else ""
            return Part(one.name, self.process, "running", detail, self._began[one.name])
        status = "aside" if why.aside else "standing"
        return Part(one.name, self.process, status, why.sentence, why.since)

    def all(self, found: Iterable[Mapping[str, Any]]) -> list[Part]:
        """Every part of every process, from what `LOOK` found; of this one, as it is now."""
        return [*self.here(), *(_heard(one) for one in found if one["process"] != self.process)]

    async def run(self) -> None:
        """Tell how the parts of this process are doing, until cancelled."""
        told: list[Part] = []
        self.told = True
        try:
            for tick in count():
                parts = self.here()
                if parts != told or tick % _TICKS == 0:
                    gone = [p.name for p in told if p.name not in self._working]
                    told = parts if await self._tell(parts, gone) else []
                await asyncio.sleep(EVERY / _TICKS)
        finally:
            await self._leave(None)

    async def _tell(self, parts: Sequence[Part], gone: list[str]) -> bool:
        """Whether it could be told."""
        await self._leave(gone)
        if not parts:
            return True
        rows = [(p.name, p.status, p.detail, p.since) for p in parts]
        columns = [list(column) for column in zip(*rows, strict=True)]
        now = datetime.now(UTC)
        lived = [(now - self._began[p.name]).total_seconds() for p in parts]
        replaced = [self.process, self._machine, columns[0], lived, REPLACED]
        try:
            await self._rows(_TELL, [self.process, *columns])
            await self._rows(_FORGET, [FORGOTTEN_HOURS])
            for (process,) in await self._rows(_REPLACED, replaced):
                if not _exists(process):
                    await self._rows(_LEAVE, [process, columns[0]])
        except LedgerUnavailable as lost:
            logger.info("parts.untold", reason=str(lost))
            return False
        return True

    async def _leave(self, names: list[str] | None) -> None:
        """Take back what was told of these parts, or of all."""
        if names == []:
            return
        try:
            await self._rows(_LEAVE, [self.process, names])
        except LedgerUnavailable as lost:
            logger.info("parts.untold", reason=str(lost))


_TICKS = 5
"""How often within a beat it is looked whether something changed."""


def _exists(process: str) -> bool:
    """Whether a process of this machine is there: one that is frozen is, and has to be named."""
    pid = int(process.rsplit(":", 2)[1])
    try:
        return pid != os.getpid() and not has_ended(psutil.Process(pid))
    except psutil.NoSuchProcess:
        return False


def _heard(one: Mapping[str, Any]) -> Part:
    """What a row says, or that it has not been heard of."""
    seen_at = datetime.fromisoformat(one["seen_at"])
    if timedelta(seconds=one["silent"]) > timedelta(seconds=SILENT):
        detail = f"not heard of since {seen_at:%Y-%m-%d %H:%M:%S} UTC"
        return Part(one["name"], one["process"], "silent", detail, seen_at)
    since = datetime.fromisoformat(one["since"])
    return Part(one["name"], one["process"], one["status"], one["detail"], since)
