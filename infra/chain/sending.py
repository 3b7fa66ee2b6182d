"""Records on their way to Kafka: in order, one after the other, and confirmed as Kafka says so."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

from infra.chain.kafka import Place, Topic
from infra.chain.records import MOST_BYTES, MOST_EVENTS, Record, digest


class Confirmed(NamedTuple):
    """How far Kafka has a ledger."""

    position: int
    digest: bytes
    place: Place | None


@dataclass(frozen=True, slots=True)
class _Sent:
    record: Record
    end: bytes
    """The digest of its last event."""
    place: asyncio.Future[Place]

    @property
    def is_confirmed(self) -> bool:
        place = self.place
        return place.done() and not place.cancelled() and place.exception() is None


class Sending:
    """What is on its way after one position."""

    def __init__(self, topic: Topic, after: Confirmed) -> None:
        self.after = after
        """What is confirmed."""
        self.end = after
        """Up to where it is on its way."""
        self.bytes = 0
        """How much that is."""
        self._topic = topic
        self._way: deque[_Sent] = deque()
        self._queue: asyncio.Queue[_Sent] = asyncio.Queue()
        self._task = asyncio.create_task(self._send(), name="sending")

    def put(self, record: Record, end: bytes) -> None:
        """Have a record sent, which comes next; `end` is the digest of its last event."""
        sent = _Sent(record, end, asyncio.get_running_loop().create_future())
        self._way.append(sent)
        self._queue.put_nowait(sent)
        self.bytes += len(record.body)
        self.end = Confirmed(record.last, end, None)

    async def reaches(self, part: float, within: float) -> bool:
        """Wait until this part of what is on its way is confirmed, or refused; whether it is."""
        upto = self._way[int((len(self._way) - 1) * part)]
        return bool((await asyncio.wait({upto.place}, timeout=within))[0])

    def take(self) -> Confirmed | None:
        """How far it is confirmed, where that is further than before.

        Raises KafkaAway or RecordTooLarge where the very next record is refused.
        """
        further = None
        while self._way and self._way[0].place.done():
            if further is not None and not self._way[0].is_confirmed:
                break
            place = self._way[0].place.result()
            sent = self._way.popleft()
            self.bytes -= len(sent.record.body)
            further = self.after = Confirmed(sent.record.last, sent.end, place)
        return further

    async def close(self) -> None:
        """Wait no more; what is on its way may still arrive."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        for sent in self._way:
            sent.place.cancel()
        await asyncio.gather(*(sent.place for sent in self._way), return_exceptions=True)

    async def _send(self) -> None:
        while True:
            sent = await self._queue.get()
            await self._topic.send(sent.record, sent.place)


def packed(
    ledger: str,
    secret: bytes,
    prev: int,
    before: bytes,
    rows: list[bytes],
    most: int = MOST_BYTES,
) -> list[Record]:
    """The records of these rows, which come after the event of `prev`; of so many bytes, about."""
    records = []
    while rows:
        taken = rows[: _fitting(rows[:MOST_EVENTS], most)]
        record = Record.pack(ledger, secret, prev, before, taken)
        records.append(record)
        prev, before, rows = record.last, digest(taken[-1]), rows[len(taken) :]
    return records


def _fitting(rows: Sequence[bytes], most: int) -> int:
    """How many of these are in one record: at least one."""
    sizes = list(map(len, rows))
    if sum(sizes) <= most:
        return len(rows)
    return max(1, bisect_right(list(accumulate(sizes)), most))
