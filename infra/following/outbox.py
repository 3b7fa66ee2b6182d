"""The ledger as the relay reads it: in order, from where RabbitMQ has confirmed it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, NamedTuple

import psycopg

from domain.aggregate import Event
from infra.ledger.mapper import to_event
from infra.ledger.postgres import Postgres
from infra.ledger.schema import CHANNEL

RELAY = "club.events"
"""The name of the one relay that there is: the exchange that it publishes to."""

POLL = 0.5
"""Seconds after which to look without having been woken: a wake-up can be missed."""

# One relay at a time: the others wait for this lock, which goes with its session.
_LOCK = "SELECT pg_advisory_lock(hashtextextended('club relay ' || %s, 0))"
_BEGIN = "INSERT INTO relay_positions VALUES (%s, 0) ON CONFLICT DO NOTHING"
_POSITION = "SELECT position FROM relay_positions WHERE name = %s"
_ADVANCE = "UPDATE relay_positions SET position = %s WHERE name = %s"

# The events after a position, in order.
_AFTER = """
SELECT notification_id, originator_id, originator_version, topic, state,
       recorded_at, correlation_id, causation_id
FROM ledger_events WHERE notification_id > %s ORDER BY notification_id LIMIT %s
"""


class Recorded(NamedTuple):
    """An event of the ledger, with its position."""

    position: int
    event: Event
    recorded_at: datetime
    correlation_id: str
    causation_id: str


class Outbox:
    """What is still to go out, for one relay; it holds the relay's lock."""

    def __init__(self, name: str, connection: psycopg.AsyncConnection[Any], position: int) -> None:
        self._name = name
        self._connection = connection
        self.position = position
        """Up to where it is confirmed."""

    @classmethod
    @asynccontextmanager
    async def of(cls, postgres: Postgres, name: str) -> AsyncIterator[Outbox]:
        """The outbox of this name, once no other relay has it."""
        async with await postgres.connect(autocommit=True) as connection:
            await connection.execute("SET lock_timeout = 0")
            await connection.execute("SET statement_timeout = 0")
            await connection.execute(_LOCK, [name])
            await connection.execute(_BEGIN, [name])
            await connection.execute(f"LISTEN {CHANNEL}".encode())
            cursor = await connection.execute(_POSITION, [name])
            row = await cursor.fetchone()
            assert row is not None  # noqa: S101 - begun above
            yield cls(name, connection, int(row[0]))

    async def next(self, most: int) -> list[Recorded]:
        """The next events, at least one; waits until there are some."""
        while True:
            cursor = await self._connection.execute(_AFTER, [self.position, most])
            rows = await cursor.fetchall()
            if rows:
                return [_recorded(*row) for row in rows]
            async for _ in self._connection.notifies(timeout=POLL, stop_after=1):
                pass

    async def confirmed(self, position: int) -> None:
        """Everything up to here is out."""
        await self._connection.execute(_ADVANCE, [position, self._name])
        self.position = position


def _recorded(
    position: int,
    stream: str,
    version: int,
    topic: str,
    state: bytes,
    *about: Any,
) -> Recorded:
    return Recorded(position, to_event(stream, version, topic, bytes(state)), *about)


async def lag(postgres: Postgres, name: str) -> int | None:
    """How many events are still to go out; None where no relay has ever run."""
    rows = await postgres.rows(_LAG, [name])
    return int(rows[0][0]) if rows else None


_LAG = """
SELECT (SELECT coalesce(max(notification_id), 0) FROM ledger_events) - position
FROM relay_positions WHERE name = %s
"""
