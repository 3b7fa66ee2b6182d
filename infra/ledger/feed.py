"""The ledger from a position on: what everything that follows it reads.

Each event comes with all that is known of it. One that this release cannot read stops whoever
needs it exactly there: what comes before it is handed out, and then `Unreadable` says where and
why.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import psycopg

from domain.recorded import Recorded
from infra.ledger.mapper import UnreadableEvent, to_event

Connection = psycopg.AsyncConnection[Any]
Row = tuple[Any, ...]

LAST = 2**63 - 1
"""No position comes after this one."""

# The events after a position and up to another, in order.
_AFTER = b"""
SELECT notification_id, originator_id, originator_version, topic, state,
       recorded_at, actor, command, command_id, correlation_id, causation_id
FROM ledger_events WHERE notification_id > %s AND notification_id <= %s
ORDER BY notification_id LIMIT %s
"""


class Unreadable(Exception):
    """The next event cannot be read by this release."""

    def __init__(self, position: int, topic: str, reason: str) -> None:
        super().__init__(f"position {position} ({topic}): {reason}")
        self.position = position
        self.topic = topic
        self.reason = reason


class Batch(NamedTuple):
    """Some events in order, and up to where the ledger was read for them."""

    events: Sequence[Recorded]
    position: int


async def after(
    connection: Connection,
    position: int,
    limit: int,
    *,
    until: int = LAST,
    kinds: Collection[str] | None = None,
) -> Batch:
    """The next events, of these kinds of aggregates (of all, without): at most `limit` are read.

    Raises Unreadable where the very next event is one that cannot be read.
    """
    cursor = await ask(connection, position, limit, until=until)
    return read(await cursor.fetchall(), position, kinds)


async def ask(
    connection: Connection, position: int, limit: int, *, until: int = LAST
) -> psycopg.AsyncCursor[Any]:
    """Ask for the next events as they are stored; `read` reads the rows."""
    return await connection.execute(_AFTER, [position, until, limit], binary=True)


def read(rows: Sequence[Row], position: int, kinds: Collection[str] | None = None) -> Batch:
    """The events in these rows, which follow `position`, up to the first that cannot be read.

    Raises Unreadable where that is the first of all.
    """
    events: list[Recorded] = []
    for row in rows:
        at, stream = row[0], row[1]
        if kinds is None or stream.rpartition("-")[0] in kinds:
            try:
                event = to_event(stream, row[2], row[3], row[4])
            except UnreadableEvent as unreadable:
                if row is rows[0]:
                    raise Unreadable(at, row[3], str(unreadable)) from unreadable
                return Batch(events, position)
            events.append(Recorded(at, event, *row[5:]))
        position = at
    return Batch(events, position)
