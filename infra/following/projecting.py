"""The live tail: read tables that follow the ledger.

Rows and position are committed together, under a lock on the position: exactly once, whatever
is killed and however many processes project at the same time. A batch need not be on disk when
it is shown: what a crash of Postgres takes away, position included, is projected again.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import psycopg
import structlog

from domain.aggregate import Event
from infra.following.watch import Watch
from infra.ledger.mapper import to_event
from infra.ledger.postgres import Postgres
from infra.ledger.schema import CHANNEL
from projections.engine.folding import project
from projections.engine.schema import GROUP, POSITION

BATCH = 2000
"""Events in one transaction."""

POLL = 0.5
"""Seconds after which to look without having been woken: a wake-up can be missed."""

RETRY = 0.5
"""Seconds between attempts after a fault."""

logger = structlog.get_logger(__name__)

_HOLD_POSITION = f"{POSITION} FOR UPDATE"

# The next events after the position, which the statement before has locked.
_NEXT = f"""
SELECT notification_id, originator_id, originator_version, topic, state FROM ledger_events
WHERE notification_id > ({POSITION})
ORDER BY notification_id LIMIT %s
"""  # noqa: S608 - made of constants
_ADVANCE = "UPDATE projection_positions SET position = %s WHERE name = %s"


class Tail:
    """Follows the ledger."""

    def __init__(self, postgres: Postgres, watch: Watch) -> None:
        self._postgres = postgres
        self._watch = watch
        self._woken = asyncio.Event()
        self.fault: str | None = None
        """Why the tables stand still, while they do."""

    def wake(self, position: int) -> None:
        """The ledger has come this far."""
        if position > self._watch.position:
            self._woken.set()

    async def run(self) -> None:
        """Follow the ledger until cancelled, also across faults and lost connections."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen(), name="ledger-listener")
            tasks.create_task(self._follow(), name="projector")

    async def _follow(self) -> None:
        while True:
            try:
                async with await self._postgres.connect() as connection:
                    await connection.execute("SET synchronous_commit = off")
                    await connection.commit()
                    await self._steps(connection)
            except psycopg.Error as fault:
                self.fault = str(fault).strip()
                logger.warning("projector.fault", reason=self.fault)
                await asyncio.sleep(RETRY)

    async def _steps(self, connection: psycopg.AsyncConnection[Any]) -> None:
        while True:
            self._woken.clear()
            events = await self.step(connection)
            self.fault = None
            if events < BATCH:
                try:
                    async with asyncio.timeout(POLL):
                        await self._woken.wait()
                except TimeoutError:
                    continue

    async def step(self, connection: psycopg.AsyncConnection[Any]) -> int:
        """Project the next batch; returns the number of its events."""
        async with connection.pipeline():
            held = await connection.execute(_HOLD_POSITION.encode())
            cursor = await connection.execute(_NEXT.encode(), [BATCH], binary=True)
        row = await held.fetchone()
        assert row is not None  # noqa: S101 - the row is made with the tables
        position = int(row[0])
        rows = await cursor.fetchall()
        if rows:
            position = rows[-1][0]
            async with connection.pipeline():
                await project(events_of(rows), connection)
                await connection.execute(_ADVANCE, [position, GROUP])
                await connection.commit()
        else:
            await connection.rollback()
        self._watch.advance(position)
        return len(rows)

    async def _listen(self) -> None:
        """Hear of batches that other processes append."""
        while True:
            try:
                async with await self._postgres.connect(autocommit=True) as connection:
                    await connection.execute(f"LISTEN {CHANNEL}".encode())
                    async for notification in connection.notifies():
                        # Whoever shares the database may use the channel's name, too.
                        with suppress(ValueError):
                            self.wake(int(notification.payload))
            except psycopg.Error as lost:
                logger.warning("listener.lost", reason=str(lost).strip())
                await asyncio.sleep(RETRY)


def events_of(rows: list[tuple[Any, ...]]) -> list[Event]:
    """The events in rows of position, aggregate, version, topic and state."""
    return [to_event(stream, version, topic, state) for _, stream, version, topic, state in rows]
