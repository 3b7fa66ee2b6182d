"""Going on from the ledgers themselves, where records do not bring a club on.

A hole, a new generation, records that nobody publishes, a ledger that went another way: whatever it
is, the club's own ledger says what comes next. Workers share the clubs: each look is written down
before it begins. A few are looked at at a time, so hundreds of clubs cost a few connections, and a
turn is short, so that a club with a long way to go lets others have theirs.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import NamedTuple

import psycopg
import structlog

from infra.chain.directory import Club, Directory
from infra.chain.ledgers import AnotherPast, ClubLedger, LedgerFault, Seen, reading
from infra.chain.lines import Lines
from infra.chain.projecting import Outcome, Projection
from infra.chain.store import ChainStore, InChain
from infra.ledger.postgres import Connection
from infra.standstill import Standstill

LOOK = 1.0
"""Seconds between looks at who is due."""

LANES = 8
"""Clubs that are looked at, or brought on, at once."""

AT_ONCE = 4
"""Clubs at most that one look finds due: with hundreds, it takes turns."""

QUIET = 3
"""Seconds without progress after which a club's ledger is asked."""

UNSEEN = 30
"""Seconds after which it is asked anyway, for people to be told how far the chain is behind."""

REST = 3
"""Seconds between looks at one ledger, of all workers, at least."""

TURN = 5.0
"""Seconds after which a club lets others have their turn."""

PAUSE = 0.3
"""Seconds to wait where somebody else is at it."""

logger = structlog.get_logger(__name__)

# Clubs that do not come further, by what is known here, the longest unseen first. Whoever finds
# one due has it for a while.
_DUE = f"""
UPDATE chain_clubs SET looked_at = clock_timestamp() WHERE number IN (
    SELECT c.number FROM chain_clubs AS c
    WHERE coalesce(c.looked_at, '-infinity') < clock_timestamp() - interval '{REST} s'
      AND EXISTS (
        SELECT FROM chain_positions AS p WHERE p.club = c.number
          AND (p.group_name || '_' || p.generation) = ANY(%s)
          AND coalesce(p.again_at, '-infinity') <= clock_timestamp()
          AND coalesce(p.advanced_at, '-infinity') < clock_timestamp() - CASE
            WHEN c.seen_at > clock_timestamp() - interval '{UNSEEN} s' THEN interval '{QUIET} s'
            ELSE interval '0' END)
    ORDER BY c.looked_at NULLS FIRST LIMIT %s FOR UPDATE SKIP LOCKED)
RETURNING number
"""  # noqa: S608 - made of constants
_POSITION = f"""
SELECT position, digest,
       coalesce(advanced_at > clock_timestamp() - interval '{QUIET} s', FALSE)
FROM chain_positions
WHERE (group_name, generation, club) = (%s, %s, %s)
  AND coalesce(again_at, '-infinity') <= clock_timestamp()
"""  # noqa: S608 - made of a constant
_SEEN = """
UPDATE chain_clubs SET looked_at = clock_timestamp(), seen_at = clock_timestamp(), head = %s,
    published = %s, waiting_since = %s, waiting_after = %s
WHERE number = %s
"""
# All is taken in, whatever was in its way.
_GOES_ON = """
UPDATE chain_positions SET reason = NULL, stands_at = NULL, topic = NULL, since = NULL, tries = 0,
    again_at = NULL
WHERE (group_name, generation, club, position) = (%s, %s, %s, %s) AND reason IS NOT NULL
"""


class _Far(NamedTuple):
    """How far a club is, in the tables of a group."""

    position: int
    digest: bytes
    moves: bool
    """Whether it comes on as it is."""


class KeepingUp:
    """Looks after the clubs of a chain, beside the records."""

    def __init__(self, store: ChainStore, directory: Directory) -> None:
        self._directory = directory
        self._asking = Lines(store, size=2)
        self._lines = {group.name: Lines(store, group, size=4) for group in store.groups}
        self._wanted: asyncio.Queue[int] = asyncio.Queue()
        self._waiting: set[int] = set()
        self._missing: set[int] = set()
        """Clubs of which something is missing, as far as records tell."""
        self._in_turn: set[int] = set()

    def want(self, club: int) -> None:
        """The club has to be brought on from its ledger, as soon as it can be."""
        self._missing.add(club)
        self._line_up(club)

    def _line_up(self, club: int) -> None:
        if club not in self._waiting:
            self._waiting.add(club)
            self._wanted.put_nowait(club)

    async def look_around(self) -> None:
        """Look who is in the chain, and who is due."""
        async with self._asking.one() as connection:
            await self._directory.look(connection)
            room = min(AT_ONCE, LANES - len(self._in_turn) - len(self._waiting))
            if room > 0:
                schemas = [group.schema for group in self._directory.groups]
                cursor = await connection.execute(_DUE, [schemas, room])
                for (number,) in await cursor.fetchall():
                    self._line_up(number)

    async def run(self) -> None:
        """Look after the clubs until cancelled, also while the chain's own database is away."""
        async with asyncio.TaskGroup() as tasks:
            for _ in range(LANES):
                tasks.create_task(self._lane())
            while True:
                try:
                    await self.look_around()
                except psycopg.OperationalError as lost:
                    logger.warning("chain.store-lost", reason=type(lost).__name__)
                await asyncio.sleep(LOOK)

    async def _lane(self) -> None:
        while True:
            number = await self._wanted.get()
            self._waiting.discard(number)
            if number in self._in_turn:
                await asyncio.sleep(PAUSE)
                self._line_up(number)
                continue
            self._in_turn.add(number)
            try:
                more = await self.turn(number)
            except psycopg.OperationalError as lost:
                logger.warning("chain.store-lost", reason=type(lost).__name__)
                more = False  # the next look finds it
            finally:
                self._in_turn.discard(number)
            if more:
                self.want(number)

    async def turn(self, number: int) -> bool:
        """Bring a club on from its ledger for a while; whether there is more.

        Raises psycopg.OperationalError where the chain's own database is away.
        """
        club = self._directory.numbered(number)
        missing = number in self._missing
        self._missing.discard(number)
        due = await self._due(club) if club is not None else {}
        if club is None or not due:
            return False
        try:
            async with reading(club.url) as ledger:
                behind = min(far.position for far in due.values())
                seen = await ledger.look(club.ledger, behind)
                await self._note(seen, number)
                more = [
                    await self._bring_on(group, club, ledger, seen)
                    for group, far in due.items()
                    if missing or not far.moves
                ]
                return any(more)
        except LedgerFault as fault:
            for group, far in due.items():
                await self._stands(group, number, far.position, _why(fault))
            return False

    async def _due(self, club: Club) -> dict[InChain, _Far]:
        """How far the club is, in each group that does not wait for a new attempt."""
        async with self._asking.one() as connection:
            found = {group: await _far(connection, group, club) for group in self._directory.groups}
        return {group: far for group, far in found.items() if far is not None}

    async def _note(self, seen: Seen, number: int) -> None:
        async with self._asking.one() as connection:
            await connection.execute(_SEEN, [*seen, number])

    async def _bring_on(self, group: InChain, club: Club, ledger: ClubLedger, seen: Seen) -> bool:
        """Take in what the ledger has, until the turn is over; whether there is more.

        A fault of the ledger is the group's, from where it has come by then.
        """
        until = asyncio.get_running_loop().time() + TURN
        async with self._lines[group.name].one() as connection:
            far = await _far(connection, group, club)
            await connection.rollback()
            if far is None:
                return False
            position, known, _ = far
            try:
                async with aclosing(ledger.after(position, known, seen.head)) as stretches:
                    async for stretch in stretches:
                        outcome = await Projection(connection, group, club.number).advance(stretch)
                        if outcome is Outcome.BUSY:
                            await asyncio.sleep(PAUSE)
                        if outcome is not Outcome.TAKEN:
                            # Where they were taken before, somebody else brings it on just now.
                            return outcome in (Outcome.BUSY, Outcome.AHEAD, Outcome.ELSEWHERE)
                        position = stretch.last
                        if asyncio.get_running_loop().time() > until:
                            return position < seen.head
            except LedgerFault as fault:
                await Projection(connection, group, club.number).stands(
                    Standstill(_why(fault)), position
                )
                return False
            key = (group.name, group.generation, club.number, position)
            await connection.execute(_GOES_ON, key)
            await connection.commit()
            return False

    async def _stands(self, group: InChain, club: int, position: int, reason: str) -> None:
        async with self._lines[group.name].one() as connection:
            await Projection(connection, group, club).stands(Standstill(reason), position)

    async def close(self) -> None:
        """Close the connections."""
        for lines in (self._asking, *self._lines.values()):
            await lines.close()


async def _far(connection: Connection, group: InChain, club: Club) -> _Far | None:
    cursor = await connection.execute(_POSITION, (group.name, group.generation, club.number))
    row = await cursor.fetchone()
    return None if row is None else _Far(*row)


def _why(fault: LedgerFault) -> str:
    """What a person is told, and what to do where nothing heals by itself."""
    if isinstance(fault, AnotherPast):
        return f"{fault}; `club chain clubs again` has it taken in anew from there"
    return str(fault)
