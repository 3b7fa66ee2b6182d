"""The ledger of a club, as the chain reads it: in the same form as its records, and never for long.

A ledger that does not answer is given up soon, as others wait behind it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import NamedTuple

import psycopg

from infra.chain.records import EVENTS, NOTHING, TOPIC, KeptOut, Stored, stored
from infra.chain.stretches import BATCH, Stretch
from infra.following.follower import database_said
from infra.ledger.postgres import Connection, Postgres
from infra.ledger.schema import HEAD

LONGEST_READ = 10.0
"""Seconds for which a ledger may be silent."""

MOST_READ = 2 * 1024 * 1024
"""Bytes of events that are read at once, about: what a worker holds does not grow with events."""

AT_ONCE = 20
"""Events that come at once: each time, the ledger was heard of."""

_READING = {"default_transaction_read_only": "on"}
# A moment that nobody here can say was put there by somebody else, past the club.
_LOOK = f"""
SELECT id::text, ({HEAD}), (SELECT position FROM ledger_publishing WHERE topic = '{TOPIC}'),
       (SELECT recorded_at FROM ledger_events WHERE notification_id = %s
        AND recorded_at BETWEEN '0001-01-02Z' AND '9999-12-30Z')
FROM ledger_identity
"""  # noqa: S608 - made of constants


class LedgerFault(Exception):
    """The chain cannot go on from this ledger, and why."""


class AnotherPast(LedgerFault):
    """The ledger does not have what was taken in."""


class Seen(NamedTuple):
    """What a look at a ledger shows."""

    head: int
    published: int
    waiting_since: datetime | None
    """When the first event was recorded that is not taken in yet."""
    waiting_after: int
    """After which position that is."""


class ClubLedger:
    """The ledger of one club."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def look(self, identity: str, position: int = 0) -> Seen:
        """How far it is, where the chain is at a position; raises LedgerFault of another one."""
        async with _briefly(self._connection):
            cursor = await self._connection.execute(_LOOK.encode(), [position + 1])
            row = await cursor.fetchone()
        if row is None or row[0] != identity:
            raise LedgerFault("its database holds another ledger")
        return Seen(row[1], row[2] or 0, row[3], position)

    async def agrees(self, position: int, known: bytes) -> None:
        """See to it that it has the event that was taken in last; raises LedgerFault."""
        await self._next(position, known)

    async def after(self, position: int, known: bytes, head: int) -> AsyncGenerator[Stretch, None]:
        """The events after a position, a stretch at a time; while one is taken, the next is read.

        `known` is the digest of the event at the position. Raises LedgerFault where the ledger has
        another one there, or none.
        """
        upcoming = asyncio.ensure_future(self._next(position, known))
        try:
            while (stretch := await upcoming).events:
                if stretch.last < head:
                    upcoming = asyncio.ensure_future(
                        self._next(stretch.last, stretch.digest_at(stretch.last))
                    )
                yield stretch
                if stretch.last >= head:
                    return
        finally:
            upcoming.cancel()
            await asyncio.gather(upcoming, return_exceptions=True)

    async def _next(self, position: int, known: bytes) -> Stretch:
        first = max(position, 1)
        found = await self._rows(first, position + BATCH)
        if position == 0:
            stretch = Stretch(0, NOTHING, found)
        elif not found or found[0][1][0] != position:
            raise AnotherPast(
                f"its ledger was shortened: position {position} is not in it any more"
            )
        else:
            stretch = Stretch(position - 1, NOTHING, found)
            if stretch.digest_at(position) != known:
                raise AnotherPast(
                    f"its ledger went another way, at position {position} at the latest"
                )
            stretch = Stretch(position, known, found[1:])
        if found and found[-1][1][0] != stretch.last:
            raise LedgerFault("its ledger has a hole")
        return stretch

    async def _rows(self, first: int, last: int) -> list[Stored]:
        span = {"first": first, "last": last, "most": MOST_READ}
        rows: list[bytes] = []
        async with _briefly(self._connection) as heard, self._connection.cursor() as cursor:
            asked = cursor.stream(EVENTS, span, binary=True, size=AT_ONCE)
            async for (row,) in asked:
                heard()
                rows.append(row)
        body = b"".join(rows)
        try:
            return stored(body)
        except KeptOut as wrong:
            raise LedgerFault(f"its ledger cannot be read: {wrong}") from wrong


@asynccontextmanager
async def reading(url: str) -> AsyncIterator[ClubLedger]:
    """The ledger at this address; raises LedgerFault where it cannot be reached, or read."""
    try:
        connection = await Postgres(url).connect(_READING, autocommit=True)
    except (psycopg.Error, OSError, UnicodeError) as away:  # a name that can be no host's, too
        raise LedgerFault("its ledger cannot be reached") from away
    try:
        yield ClubLedger(connection)
    finally:
        connection.hang_up()
        await connection.close()


@asynccontextmanager
async def _briefly(connection: Connection) -> AsyncIterator[Callable[[], None]]:
    """Ask, and give up where nothing is heard for too long; raises LedgerFault."""
    loop = asyncio.get_running_loop()
    timer = loop.call_later(LONGEST_READ, connection.hang_up)

    def heard() -> None:
        nonlocal timer
        timer.cancel()
        timer = loop.call_later(LONGEST_READ, connection.hang_up)

    try:
        yield heard
    except (psycopg.OperationalError, psycopg.InterfaceError) as away:
        raise LedgerFault("its ledger does not answer") from away
    except psycopg.Error as fault:
        raise LedgerFault(f"its ledger cannot be read: {database_said(fault)}") from fault
    finally:
        timer.cancel()
