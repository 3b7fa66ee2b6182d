"""Records in, rows out: what a worker of the chain does with whatever the topic brings.

Nothing here rests on what Kafka says: a record that was there before is dropped, and where one is
missing, or does not fit, the club's own ledger is read (`keeping_up`).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple, Self

import structlog

from infra.chain.directory import Club, Directory
from infra.chain.keeping_up import KeepingUp
from infra.chain.lines import Lines
from infra.chain.projecting import Outcome, Projection
from infra.chain.records import KeptOut, Record
from infra.chain.store import ChainStore, InChain
from infra.chain.stretches import Stretch

RETRY = 1.0
"""Seconds between looks for a ledger that nobody knows."""

logger = structlog.get_logger(__name__)

_KEPT_OUT = """
INSERT INTO chain_kept_out (reason, ledger, times, partition, "offset")
VALUES (%s, %s, %s, %s, %s)
ON CONFLICT (reason, ledger) DO UPDATE SET times = chain_kept_out.times + excluded.times,
    partition = excluded.partition, "offset" = excluded.offset, last_at = clock_timestamp()
"""


class Arrived(NamedTuple):
    """A message of the topic, and where it is there."""

    record: Record | KeptOut
    partition: int
    offset: int

    @classmethod
    def of(
        cls,
        key: bytes | None,
        headers: Iterable[tuple[str, bytes | None]],
        body: bytes | None,
        partition: int,
        offset: int,
    ) -> Self:
        """The message, whatever is in it."""
        try:
            return cls(Record.of(key, headers, body), partition, offset)
        except KeptOut as why:
            return cls(why, partition, offset)


class _Part(NamedTuple):
    """Some events of one club, and where the last of them arrived."""

    club: Club
    stretch: Stretch
    arrived: Arrived


class Intake:
    """Takes records in, and goes on without them where they do not come."""

    def __init__(self, store: ChainStore) -> None:
        self.directory = Directory(store)
        self.keeping_up = KeepingUp(store, self.directory)
        self._lines = {group.name: Lines(store, group) for group in store.groups}
        self._asking = Lines(store)
        self._store = store
        self._looked = 0.0
        self._told: set[str] = set()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Intake]:
        """Keep up with the ledgers while the context lasts; connections are closed at its end."""
        try:
            async with asyncio.TaskGroup() as tasks:
                running = [
                    tasks.create_task(self._store.postgres.keep_watch(), name="chain-store"),
                    tasks.create_task(self.keeping_up.run(), name="keeping-up"),
                ]
                try:
                    yield self
                finally:
                    for task in running:
                        task.cancel()
        finally:
            await self.close()

    async def take(self, arrived: Sequence[Arrived]) -> None:
        """Take in what these messages bring, which are in the order of their partition.

        When it returns, each is in the tables, or was, or is kept out, or its club is brought on
        from its ledger. Raises psycopg.OperationalError where the chain's own database is away, and
        nothing else: whoever calls it tries again with the same.
        """
        await self._meet(arrived)
        kept_out: list[tuple[KeptOut, Arrived]] = []
        parts = self._parts(arrived, kept_out)
        groups = self.directory.groups
        taking = (self._take(group, parts, kept_out) for group in groups)
        for fault in await asyncio.gather(*taking, return_exceptions=True):
            if fault is not None:
                raise fault
        if kept_out:
            await self._count(kept_out)

    async def _meet(self, arrived: Sequence[Arrived]) -> None:
        """Look again who is in the chain, where somebody new seems to be."""
        ledgers = {one.record.ledger for one in arrived if isinstance(one.record, Record)}
        now = asyncio.get_running_loop().time()
        known = self.directory.groups and all(map(self.directory.of, ledgers))
        if not known and (not self._looked or now > self._looked + RETRY):
            async with self._asking.one() as connection:
                await self.directory.look(connection)
            self._looked = now

    def _parts(
        self, arrived: Sequence[Arrived], kept_out: list[tuple[KeptOut, Arrived]]
    ) -> list[_Part]:
        """What may come in, as few parts as can be: one club after the other, each in order."""
        of_clubs: dict[int, list[_Part]] = {}
        for one in arrived:
            try:
                club, stretch = self._admit(one)
            except KeptOut as why:
                kept_out.append((why, one))
                continue
            parts = of_clubs.setdefault(club.number, [])
            joined = parts[-1].stretch.joined_by(stretch) if parts else None
            if joined is not None:
                parts[-1] = _Part(club, joined, one)
            else:
                parts.append(_Part(club, stretch, one))
        return [part for parts in of_clubs.values() for part in parts]

    def _admit(self, one: Arrived) -> tuple[Club, Stretch]:
        """Whose record it is, and what is in it; raises KeptOut."""
        if isinstance(one.record, KeptOut):
            raise one.record
        club = self.directory.of(one.record.ledger)
        if club is None:
            raise KeptOut("its ledger is not in the chain")
        one.record.verify(club.secret)
        return club, Stretch.of(one.record)

    async def _take(
        self, group: InChain, parts: Sequence[_Part], kept_out: list[tuple[KeptOut, Arrived]]
    ) -> None:
        """Take the parts into one group's tables; a club that does not come on is left out."""
        left: set[int] = set()
        async with self._lines[group.name].one() as connection:
            for club, stretch, one in parts:
                if club.number in left:
                    continue
                outcome = await Projection(connection, group, club.number).advance(stretch)
                if outcome is Outcome.ELSEWHERE:
                    kept_out.append((KeptOut("it does not follow what its ledger has"), one))
                if outcome not in (Outcome.TAKEN, Outcome.REPEATED):
                    left.add(club.number)
                if outcome in (Outcome.AHEAD, Outcome.ELSEWHERE, Outcome.BUSY):
                    self.keeping_up.want(club.number)

    async def _count(self, kept_out: Sequence[tuple[KeptOut, Arrived]]) -> None:
        """Write down what was kept out; of ledgers, only those of the chain are named."""
        times: Counter[tuple[str, str]] = Counter()
        last: dict[tuple[str, str], Arrived] = {}
        for why, one in kept_out:
            ledger = one.record.ledger if isinstance(one.record, Record) else ""
            key = (str(why), ledger if self.directory.of(ledger) is not None else "")
            times[key] += 1
            last[key] = one
            if key[0] not in self._told:
                self._told.add(key[0])
                logger.warning(
                    "chain.kept-out",
                    reason=key[0],
                    ledger=ledger[:36],
                    partition=one.partition,
                    offset=one.offset,
                )
        rows = [(*key, times[key], last[key].partition, last[key].offset) for key in sorted(times)]
        async with self._asking.one() as connection:
            await connection.cursor().executemany(_KEPT_OUT, rows)

    async def close(self) -> None:
        """Close the connections."""
        await self.keeping_up.close()
        for lines in (self._asking, *self._lines.values()):
            await lines.close()
