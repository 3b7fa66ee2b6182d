"""What is still to go to Kafka: the ledger from where its records are confirmed.

Of several publishers one has a turn at a time: it holds the ledger's row in `ledger_publishing`,
which ends with the transaction. A turn is short, as a relay's is. What is not confirmed within it
stays published, and is written down in a later turn.

A topic that has lost what was confirmed gets the whole ledger again. What time took from it
(retention) is not lost: who has not read it by then reads the ledger.
"""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, NamedTuple

import psycopg
import structlog

from infra.chain.kafka import PATIENCE, SILENT, Batches, KafkaAway, Place, Topic
from infra.chain.records import (
    EVENTS,
    MOST_BYTES,
    MOST_EVENTS,
    NOTHING,
    TOPIC,
    Record,
    digest,
    position_of,
)
from infra.faults import Fault
from infra.following.follower import Follower
from infra.following.relaying import LONGEST_TURN, UNCONFIRMED
from infra.ledger.postgres import Postgres
from infra.parts import PUBLISHER
from infra.standstill import Standstill

BATCH = 20 * MOST_EVENTS
"""Events that are read at once, while those before them are on their way."""

AT_ONCE = 8
"""Batches that are published before their confirmation is waited for."""

LOOK = 15.0
"""Seconds between looks whether Kafka still has what it confirmed."""

Connection = psycopg.AsyncConnection[Any]
logger = structlog.get_logger(__name__)

# Whoever has the row has the turn.
_TURN = """
SELECT (SELECT id::text FROM ledger_identity), secret, position, digest, partition, "offset"
FROM ledger_publishing
WHERE topic = %s FOR UPDATE SKIP LOCKED
"""
_ADVANCE = """
UPDATE ledger_publishing SET position = %s, digest = %s, partition = %s, "offset" = %s
WHERE topic = %s
"""


class WentAnotherWay(Fault):
    """What went to Kafka up to position {position} is not in the ledger any more.

    It was restored to an earlier time, or changed: what the chain has of this club is not its own.
    """


class Confirmed(NamedTuple):
    """How far Kafka has a ledger."""

    position: int
    digest: bytes
    place: Place | None


@dataclass(frozen=True, slots=True)
class _Sent:
    """Records on their way: what came after one position, and what is so once they are there."""

    after: int
    upto: int
    digest: bytes
    place: asyncio.Future[Place]

    @property
    def failed(self) -> bool:
        """Whether they will never be confirmed."""
        place = self.place
        return place.done() and (place.cancelled() or place.exception() is not None)


class Publisher:
    """Has every event of the ledger in the chain's topic, in order."""

    def __init__(self, postgres: Postgres, topic: Topic) -> None:
        self.follower = Follower(PUBLISHER, postgres, self.step)
        self._topic = topic
        self._sent: _Sent | None = None
        self._looked_at: float | None = None
        self._witness: Confirmed | None = None

    async def run(self) -> None:
        """Publish until cancelled."""
        try:
            await self.follower.run()
        finally:
            await self._forget()
            await self._topic.close()

    async def step(self, connection: Connection) -> bool:
        """Publish what is next; whether there was anything. Another may have its turn."""
        try:
            return await self._turn(connection)
        except KafkaAway:
            self._looked_at = None
            await self._forget()
            await self._topic.close()
            raise

    async def _turn(self, connection: Connection) -> bool:
        row = await (await connection.execute(_TURN, [TOPIC])).fetchone()
        if row is None:
            await connection.rollback()
            return False
        ledger, secret, position, last, partition, offset = row
        place = None if offset is None else Place(partition, offset)
        confirmed = Confirmed(position, last, place)
        if await self._is_lost(ledger, confirmed):
            logger.warning("publisher.topic-lost", position=position)
            await self._forget()
            await self._confirm(connection, Confirmed(0, NOTHING, None))
            return True
        sent = await self._send(connection, ledger, secret, confirmed)
        if sent is None:
            await connection.commit()
            return False
        if not (await asyncio.wait({sent.place}, timeout=LONGEST_TURN))[0]:
            await connection.rollback()
            self.follower.stands(Standstill(UNCONFIRMED))
            if not (await asyncio.wait({sent.place}, timeout=PATIENCE))[0]:
                raise KafkaAway(why=SILENT)
            return True
        confirmed = Confirmed(sent.upto, sent.digest, sent.place.result())
        self._sent = None
        await self._confirm(connection, confirmed)
        return True

    async def _confirm(self, connection: Connection, confirmed: Confirmed) -> None:
        """Write down how far Kafka has it, and end the turn."""
        partition, offset = confirmed.place or (None, None)
        values = [confirmed.position, confirmed.digest, partition, offset, TOPIC]
        await connection.execute(_ADVANCE, values)
        await connection.commit()

    async def _is_lost(self, ledger: str, confirmed: Confirmed) -> bool:
        """Whether Kafka lost what it had confirmed; it is looked now and then.

        What is looked for is what was there at the last look: what was confirmed since may have
        gone into a topic that had lost all that came before.
        """
        now = time.monotonic()
        due = self._looked_at is None or now - self._looked_at > LOOK
        if not due or self._sent is not None:
            return False
        witness = self._witness
        if witness is None or witness.position > confirmed.position:
            witness = confirmed
        lost = await self._topic.lost(witness.place, ledger.encode(), witness.position)
        self._looked_at, self._witness = (None, None) if lost else (now, confirmed)
        return lost

    async def _send(
        self, connection: Connection, ledger: str, secret: bytes, confirmed: Confirmed
    ) -> _Sent | None:
        """What is on its way from there; None where there is nothing to send."""
        sent = self._sent
        if sent is not None and sent.after == confirmed.position and not sent.failed:
            return sent
        await self._forget()
        upto = confirmed
        batches: Batches = asyncio.Queue()
        try:
            for _ in range(AT_ONCE):
                rows = await _rows(connection, upto)
                if rows:
                    records = packed(ledger, secret, upto.position, upto.digest, rows)
                    upto = Confirmed(records[-1].last, digest(rows[-1]), None)
                    batches.put_nowait(records)
                    self._sent = self._on_its_way(confirmed, upto, batches)
                if len(rows) < BATCH:
                    break
        finally:
            # What was read by then is sent, whatever came in the way.
            batches.put_nowait(())
        return self._sent

    def _on_its_way(self, after: Confirmed, upto: Confirmed, batches: Batches) -> _Sent:
        """What was read so far, which is being sent while more is read."""
        sent = self._sent
        place = asyncio.ensure_future(self._topic.send(batches)) if sent is None else sent.place
        return _Sent(after.position, upto.position, upto.digest, place)

    async def _forget(self) -> None:
        """Wait no more for what is on its way."""
        sent, self._sent = self._sent, None
        if sent is not None:
            sent.place.cancel()
            await asyncio.gather(sent.place, return_exceptions=True)


def packed(ledger: str, secret: bytes, prev: int, before: bytes, rows: list[bytes]) -> list[Record]:
    """The records of these rows, which come after the event of `prev`."""
    records = []
    while rows:
        taken = rows[: _fitting(rows[:MOST_EVENTS])]
        record = Record.pack(ledger, secret, prev, before, taken)
        records.append(record)
        prev, before, rows = record.last, digest(taken[-1]), rows[len(taken) :]
    return records


def _fitting(rows: Sequence[bytes]) -> int:
    """How many of these are in one record: at least one."""
    sizes = list(map(len, rows))
    if sum(sizes) <= MOST_BYTES:
        return len(rows)
    return max(1, bisect_right(list(accumulate(sizes)), MOST_BYTES))


async def _rows(connection: Connection, confirmed: Confirmed) -> list[bytes]:
    """What comes after what is confirmed, as it is stored; raises WentAnotherWay."""
    span = [confirmed.position, confirmed.position + BATCH]
    cursor = await connection.execute(EVENTS, span, binary=True)
    rows: list[bytes] = [row for (row,) in await cursor.fetchall()]
    if confirmed.position == 0:
        return rows
    if not rows or (position_of(rows[0]), digest(rows[0])) != confirmed[:2]:
        raise WentAnotherWay(position=confirmed.position)
    return rows[1:]
