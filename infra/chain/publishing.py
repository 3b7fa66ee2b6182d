"""What is still to go to Kafka: the ledger from where its records are confirmed.

Of several publishers one has a turn at a time: it holds the ledger's row in `ledger_publishing`,
which ends with the transaction. A turn is short, as a relay's is: it writes down what is confirmed
by then, and sends as much more. Where Kafka does not keep up, less is on its way at once.

A topic that has lost what was confirmed gets the whole ledger again. What time took from it
(retention) is not lost: who has not read it by then reads the ledger.
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import psycopg
import structlog

from infra.chain.kafka import (
    AROUND,
    PATIENCE,
    SILENT,
    KafkaAway,
    Place,
    RecordTooLarge,
    Topic,
)
from infra.chain.records import (
    EVENTS,
    LONGEST,
    MOST_BYTES,
    MOST_EVENTS,
    NOTHING,
    TOPIC,
    Record,
    digest,
    position_of,
)
from infra.chain.sending import Confirmed, Sending, packed
from infra.faults import Fault
from infra.following.follower import Follower, Stuck
from infra.following.relaying import LONGEST_TURN, UNCONFIRMED
from infra.ledger.postgres import Postgres
from infra.parts import PUBLISHER
from infra.standstill import Standstill

MOST_AT_ONCE = 20 * MOST_EVENTS
"""Events that are read at once, while those before them are on their way."""

MOST_READ = 1024 * 1024
"""Bytes of them."""

MOST_SENT = 8 * 1024 * 1024
"""Bytes that are on their way at once, where Kafka keeps up."""

LEAST_SENT = 16 * 1024
"""The same in the end, after one fault after the other."""

SLOW = 1.0
"""Seconds after which Kafka does not keep up with half of what is on its way."""

LOOK = 15.0
"""Seconds between looks whether Kafka still has what it confirmed."""

Connection = psycopg.AsyncConnection[Any]
logger = structlog.get_logger(__name__)

# Whoever has the row has the turn.
_TURN = """
SELECT (SELECT id::text FROM ledger_identity), secret, position, digest, partition, "offset",
       seen_position, seen_partition, seen_offset
FROM ledger_publishing
WHERE topic = %s FOR UPDATE SKIP LOCKED
"""
_ADVANCE = """
UPDATE ledger_publishing SET position = %s, digest = %s, partition = %s, "offset" = %s,
    seen_position = %s, seen_partition = %s, seen_offset = %s
WHERE topic = %s
"""


class WentAnotherWay(Fault):
    """What went to Kafka up to position {position} is not in the ledger any more.

    It was restored to an earlier time, or changed: what the chain has of this club is not its own.
    """


_NOTHING = Confirmed(0, NOTHING, None)
_NOWHERE = (None, None)


class _Turn(NamedTuple):
    """Whose ledger it is, how far Kafka has it, and what it had when it was looked last."""

    ledger: str
    secret: bytes
    confirmed: Confirmed
    seen: Confirmed

    @classmethod
    def of(cls, row: tuple[Any, ...]) -> _Turn:
        ledger, secret, position, last, partition, offset, *seen = row
        confirmed = Confirmed(position, last, _place(partition, offset))
        witness = Confirmed(seen[0] or 0, NOTHING, _place(*seen[1:]))
        # What was confirmed since may have gone into a topic that had lost all before it.
        usable = witness.place is not None and witness.position <= position
        return cls(ledger, secret, confirmed, witness if usable else confirmed)


class Publisher:
    """Has every event of the ledger in the chain's topic, in order."""

    def __init__(self, postgres: Postgres, topic: Topic) -> None:
        self.follower = Follower(PUBLISHER, postgres, self.step)
        self._topic = topic
        self._sending: Sending | None = None
        self._room = MOST_SENT
        """Bytes that may be on their way."""
        self._looked_at: float | None = None

    async def run(self) -> None:
        """Publish until cancelled."""
        try:
            await self.follower.run()
        finally:
            await self._begin_anew()

    async def step(self, connection: Connection) -> bool:
        """Publish what is next; whether there was anything. Another may have its turn."""
        try:
            return await self._turn(connection)
        except (KafkaAway, RecordTooLarge) as fault:
            await self._begin_anew()
            self._looked_at = None
            alone, self._room = self._room <= LEAST_SENT, max(LEAST_SENT, self._room // 8)
            if isinstance(fault, RecordTooLarge) and alone:
                raise _too_large(fault.record) from fault
            raise

    async def _turn(self, connection: Connection) -> bool:
        row = await (await connection.execute(_TURN, [TOPIC])).fetchone()
        if row is None:
            await connection.rollback()
            return False
        turn = _Turn.of(row)
        sending = await self._going_on(turn.confirmed)
        if self._is_due() and not sending.bytes:
            if await self._is_lost(turn):
                await self._start_over(connection, turn.confirmed.position)
                return True
            turn = turn._replace(seen=turn.confirmed)
        await self._fill(connection, turn, sending)
        if not sending.bytes:
            await connection.commit()
            return False
        begun = time.monotonic()
        is_full = sending.bytes > self._room // 2
        await sending.reaches(0.5, LONGEST_TURN)
        confirmed = sending.take()
        if confirmed is None:
            await connection.rollback()
            self.follower.stands(Standstill(UNCONFIRMED))
            if not await sending.reaches(0.0, PATIENCE):
                raise KafkaAway(why=SILENT)
            return True
        if is_full and time.monotonic() - begun < SLOW:
            self._room = min(MOST_SENT, self._room * 2)
        await _write(connection, confirmed, turn.seen)
        return True

    async def _going_on(self, confirmed: Confirmed) -> Sending:
        """What is on its way from there."""
        if self._sending is None or self._sending.after[:2] != confirmed[:2]:
            await self._forget()
            self._sending = Sending(self._topic, confirmed)
        return self._sending

    def _is_due(self) -> bool:
        """Whether it is time to look if Kafka has what it confirmed."""
        return self._looked_at is None or time.monotonic() - self._looked_at > LOOK

    async def _is_lost(self, turn: _Turn) -> bool:
        """Whether Kafka lost what it had at the last look, whoever looked."""
        seen = turn.seen
        lost = await self._topic.lost(seen.place, turn.ledger.encode(), seen.position)
        self._looked_at = None if lost else time.monotonic()
        return lost

    async def _start_over(self, connection: Connection, position: int) -> None:
        """Have all of the ledger published again; the topic now may have other partitions."""
        logger.warning("publisher.topic-lost", position=position)
        await _write(connection, _NOTHING, _NOTHING)
        await self._begin_anew()

    async def _fill(self, connection: Connection, turn: _Turn, sending: Sending) -> None:
        """Send what comes next, as far as there is room; before a look, nothing more."""
        largest = min(MOST_BYTES, self._room)
        # Not for a few bytes: records would be tiny.
        while sending.bytes <= self._room * 3 // 4 and not self._is_due():
            most = min(MOST_READ, self._room - sending.bytes)
            prev, before, _ = sending.end
            rows = await _rows(connection, sending.end, most)
            records = packed(turn.ledger, turn.secret, prev, before, rows, largest)
            ends = [*(record.before for record in records[1:]), *map(digest, rows[-1:])]
            for record, end in zip(records, ends, strict=True):
                sending.put(record, end)
            if sum(map(len, rows)) < most // 2:
                return

    async def _begin_anew(self) -> None:
        """Let go of Kafka, with all that is known of it and on its way."""
        await self._forget()
        await self._topic.close()

    async def _forget(self) -> None:
        """Wait no more for what is on its way."""
        sending, self._sending = self._sending, None
        if sending is not None:
            await sending.close()


async def _write(connection: Connection, confirmed: Confirmed, seen: Confirmed) -> None:
    """Write down how far Kafka has it, and what it had at the last look; the turn is over."""
    seen = confirmed if seen.place is None else seen
    position, last, place = confirmed
    values = [position, last, *(place or _NOWHERE), seen.position, *(seen.place or _NOWHERE)]
    await connection.execute(_ADVANCE, [*values, TOPIC])
    await connection.commit()


def _place(partition: int | None, offset: int | None) -> Place | None:
    return None if partition is None or offset is None else Place(partition, offset)


def _too_large(record: Record) -> Stuck:
    """What a person can do about a record that Kafka takes in no company."""
    ((position, _, _, topic, *_), *_) = (row for _, row in record.stored())
    return Stuck(
        position,
        topic,
        f"its record of {len(record.body)} bytes is more than Kafka takes: raise "
        f"max.message.bytes of the topic {TOPIC}, up to {LONGEST + AROUND}",
    )


async def _rows(connection: Connection, end: Confirmed, most: int) -> list[bytes]:
    """What comes after what is sent, as it is stored; raises WentAnotherWay."""
    first = max(end.position, 1)
    span = {"first": first, "last": first + MOST_AT_ONCE, "most": most}
    cursor = await connection.execute(EVENTS, span, binary=True)
    rows: list[bytes] = [row for (row,) in await cursor.fetchall()]
    if end.position == 0:
        return rows
    if not rows or (position_of(rows[0]), digest(rows[0])) != end[:2]:
        raise WentAnotherWay(position=end.position)
    return rows[1:]
