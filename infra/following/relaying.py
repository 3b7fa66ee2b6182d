"""What is still to go out: the ledger, or its heads, from where messages are confirmed.

Of several relays one has a turn at a time, under a lock that ends with the transaction: events go
out in order, at least once. What was published and not written down when something broke is
published again. At an event that it cannot read a relay stands still and leaves the turn to
others, of which one may be of a newer release.

A turn is short. What is not confirmed within it stays published: the relay gives the turn back,
waits outside of any transaction, and in a later turn writes down what was confirmed meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
import structlog

from domain.recorded import Recorded
from infra.following.follower import Follower
from infra.ledger import feed
from infra.ledger.postgres import Postgres
from infra.ledger.schema import HEAD, number_in
from infra.proofs import heads
from infra.proofs.heads import Head
from infra.standstill import Standstill

RELAY = "club.events"
"""The name of the relay of events: the exchange that it publishes to."""

BATCH = 500
"""Events, or heads, that are published before their confirmation is waited for."""

LONGEST_TURN = 5.0
"""Seconds for which a turn waits for confirmations; Postgres ends an idle one after eight."""

UNCONFIRMED = "what was published is not confirmed"

Connection = psycopg.AsyncConnection[Any]
logger = structlog.get_logger(__name__)
Publish = Callable[[Sequence[Any]], Awaitable[None]]

# The lock is known to releases before this one, whose relays hold it as long as they live.
_TURN = "SELECT pg_try_advisory_xact_lock(hashtextextended('club relay ' || %s, 0))"
_BEGIN = "INSERT INTO relay_positions VALUES (%s, 0) ON CONFLICT DO NOTHING"
_POSITION = "SELECT position FROM relay_positions WHERE name = %s"
_ADVANCE = "UPDATE relay_positions SET position = %s WHERE name = %s"


@dataclass(frozen=True, slots=True)
class Line:
    """What goes out in order, each at a position of the ledger."""

    after: Callable[[Connection, int], Awaitable[tuple[Sequence[Any], int]]]
    """Some of what comes after a position, and up to where that reaches."""
    end: Callable[[Connection], Awaitable[int]]
    """The position of the last one."""


async def _events_after(connection: Connection, position: int) -> tuple[Sequence[Recorded], int]:
    return await feed.after(connection, position, BATCH)


async def _heads_after(connection: Connection, position: int) -> tuple[Sequence[Head], int]:
    found = await heads.after(connection, position, BATCH)
    return found, found[-1].size if found else position


async def _last_event(connection: Connection) -> int:
    return await number_in(connection, HEAD)


async def _last_head(connection: Connection) -> int:
    last = await heads.last(connection)
    return last.size if last else 0


EVENTS_OUT = Line(_events_after, _last_event)
HEADS_OUT = Line(_heads_after, _last_head)


class Relay:
    """Has every event of the ledger published, in order; or all of another line."""

    def __init__(
        self,
        postgres: Postgres,
        publish: Publish,
        *,
        line: Line = EVENTS_OUT,
        name: str = RELAY,
        passes_on: tuple[type[Exception], ...] = (),
    ) -> None:
        """`publish` returns when all of a batch is confirmed; `passes_on` is what it may raise."""
        self.follower = Follower("relay", postgres, self.step, passes_on=passes_on)
        self._name = name
        self._line = line
        self._publish = publish
        self._sent: _Sent | None = None

    async def run(self) -> None:
        """Publish until cancelled; raises what publishing raises."""
        try:
            await self.follower.run()
        finally:
            await self._forget()

    async def step(self, connection: Connection) -> bool:
        """Publish the next batch; whether there was one. Another relay may have its turn."""
        position = await self._take_turn(connection)
        if position is None:
            await connection.rollback()
            return False
        sent = await self._send(connection, position)
        if sent is None:
            await connection.commit()
            return False
        if not (await asyncio.wait({sent.confirmed}, timeout=LONGEST_TURN))[0]:
            await connection.rollback()
            self.follower.stands(Standstill(UNCONFIRMED))
            await asyncio.wait({sent.confirmed})
            return True
        sent.confirmed.result()
        await connection.execute(_ADVANCE, [sent.upto, self._name])
        await connection.commit()
        return True

    async def _send(self, connection: Connection, position: int) -> _Sent | None:
        """What is on its way from this position; None where there is nothing to send."""
        if self._sent is not None and self._sent.after == position and not self._sent.failed:
            return self._sent
        await self._forget()
        batch, upto = await self._line.after(connection, position)
        if batch:
            confirmed = asyncio.ensure_future(self._publish(batch))
            self._sent = _Sent(position, upto, confirmed)
        return self._sent

    async def _forget(self) -> None:
        """Wait no more for what is on its way."""
        sent, self._sent = self._sent, None
        if sent is not None:
            sent.confirmed.cancel()
            await asyncio.gather(sent.confirmed, return_exceptions=True)

    async def _take_turn(self, connection: Connection) -> int | None:
        """Up to where it is confirmed; None while another relay has its turn."""
        cursor = await connection.execute(_TURN, [self._name])
        if await cursor.fetchone() != (True,):
            return None
        cursor = await connection.execute(_POSITION, [self._name])
        row = await cursor.fetchone()
        if row is None:
            await connection.execute(_BEGIN, [self._name])
            return 0
        return await self._within(int(row[0]), connection)

    async def _within(self, position: int, connection: Connection) -> int:
        """The position, or where the line ends, if the ledger was restored to an earlier time.

        What it still holds went out long ago; what comes next must not be passed by.
        """
        head = await self._line.end(connection)
        if position <= head:
            return position
        logger.warning("relay.ahead-of-the-ledger", relay=self._name, position=position, head=head)
        await connection.execute(_ADVANCE, [head, self._name])
        return head


@dataclass(frozen=True, slots=True)
class _Sent:
    """A batch on its way: what came after one position, up to another."""

    after: int
    upto: int
    confirmed: asyncio.Future[None]

    @property
    def failed(self) -> bool:
        """Whether it will never be confirmed."""
        done = self.confirmed.done()
        return done and (self.confirmed.cancelled() or self.confirmed.exception() is not None)
