"""From events of a club to its rows in the chain's tables, wherever the events come from.

Rows and position are one transaction that holds the row of the position: exactly once, whatever is
killed, frozen or sent again. An event that cannot be taken has its club stand still, for this
group alone, and what comes before it is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple

import psycopg
import structlog

from infra.chain.store import InChain
from infra.chain.stretches import Fit, Stretch
from infra.following.follower import database_said, standstill_of
from infra.ledger import feed
from infra.ledger.pipelines import sent
from infra.ledger.postgres import Connection
from infra.standstill import Standstill
from projections.engine.chained import in_chain
from projections.engine.folding import Tripped, fold_batch
from projections.engine.writing import load_of_club, write

LONGEST_PAUSE = 60
"""Seconds between attempts in the end, where a club stands still."""

LONGEST_REASON = 300
"""Letters of a reason that are written down."""

MUCH_LESS = 12
"""Of events that took too long, a part as large as this is tried next: few attempts, not many."""

_OF_TIME = (
    psycopg.errors.LockNotAvailable,
    psycopg.errors.QueryCanceled,
    psycopg.errors.DeadlockDetected,
)
"""Somebody holds rows of this club, or there is too much to do at once."""

_OF_ROWS = (*_OF_TIME, psycopg.errors.ProgramLimitExceeded)
"""Faults of what was to be written, though they are called those of the server."""

logger = structlog.get_logger(__name__)

# How far a club is, and whose tables these are; whoever asks holds it until the commit. One that
# stands still before an event is not tried again before its time.
_HOLD = """
SELECT p.position, p.digest, g.definition,
       p.stands_at IS NOT NULL AND p.again_at > clock_timestamp()
FROM chain_positions AS p
JOIN chain_groups AS g ON g.name = p.group_name AND g.generation = p.generation
WHERE (p.group_name, p.generation, p.club) = (%s, %s, %s) FOR UPDATE OF p SKIP LOCKED
"""
_ADVANCE = """
UPDATE chain_positions SET position = %s, digest = %s, recorded_at = %s,
    advanced_at = clock_timestamp(), reason = NULL, stands_at = NULL, topic = NULL, since = NULL,
    tries = 0, again_at = NULL
WHERE (group_name, generation, club) = (%s, %s, %s)
"""
_STANDS = """
UPDATE chain_positions SET
    since = CASE WHEN reason = %(reason)s THEN since ELSE clock_timestamp() END,
    reason = %(reason)s, stands_at = %(stands_at)s, topic = %(topic)s, tries = tries + 1,
    again_at = clock_timestamp() + make_interval(secs => least(2.0 ^ least(tries, 10), %(longest)s))
WHERE (group_name, generation, club) IN (
    SELECT group_name, generation, club FROM chain_positions
    WHERE (group_name, generation, club) = (%(name)s, %(generation)s, %(club)s)
      AND position = %(position)s FOR UPDATE SKIP LOCKED)
RETURNING tries
"""


class Outcome(Enum):
    """What became of some events."""

    TAKEN = "all are taken in"
    REPEATED = "all were taken in before"
    AHEAD = "something is missing before them"
    ELSEWHERE = "they are of a ledger that went another way"
    BUSY = "somebody else is at it, or the club is not in the chain any more"
    STANDS = "the club stands still"
    ASIDE = "the tables were made for another definition"


_OTHERWISE = {
    Fit.REPEATED: Outcome.REPEATED,
    Fit.AHEAD: Outcome.AHEAD,
    Fit.ELSEWHERE: Outcome.ELSEWHERE,
}


class _Held(NamedTuple):
    position: int
    digest: bytes
    definition: str
    waits: bool


class Projection:
    """One group and one club, over a connection to the group's tables."""

    def __init__(self, connection: Connection, group: InChain, club: int) -> None:
        self._connection = connection
        self._group = group
        self._club = club
        self._key = (group.name, group.generation, club)

    async def advance(self, stretch: Stretch) -> Outcome:
        """Take in what of these events was not, as far as they can be taken.

        Raises psycopg.OperationalError where the chain's own database is away.
        """
        try:
            return await self._advance(stretch)
        except _OF_TIME:
            await self._connection.rollback()
            return Outcome.BUSY

    async def _advance(self, stretch: Stretch) -> Outcome:
        limit = most = len(stretch.events)
        while True:
            held = await self._hold()
            outcome = self._otherwise(held, stretch)
            if held is None or outcome is not None:
                await self._connection.rollback()
                return outcome or Outcome.BUSY
            rows = stretch.rows_after(held.position, limit)
            try:
                reached = await self._take(rows, held.position, stretch)
            except (feed.Unreadable, Tripped) as fault:
                await self._connection.rollback()
                await self.stands(standstill_of(fault), held.position)
                return Outcome.STANDS
            except Exception as fault:  # noqa: BLE001 - the one event is found, and it is told
                await self._refused(fault)
                limit = len(rows) // 2
                if isinstance(fault, _OF_TIME):
                    limit = most = len(rows) // MUCH_LESS
                if not limit:
                    await self.stands(_before(rows[0], fault), held.position)
                    return Outcome.STANDS
                continue
            if reached == stretch.last:
                return Outcome.TAKEN
            limit = most

    def _otherwise(self, held: _Held | None, stretch: Stretch) -> Outcome | None:
        """What becomes of the events where they are not taken now."""
        if held is None:
            return Outcome.BUSY
        if held.definition != self._group.tables.definition:
            return Outcome.ASIDE
        if held.waits:
            return Outcome.STANDS
        return _OTHERWISE.get(stretch.fits(held.position, held.digest))

    async def _hold(self) -> _Held | None:
        async with self._connection.pipeline():
            cursor = await self._connection.execute(_HOLD, self._key)
        row = await cursor.fetchone()
        return None if row is None else _Held(*row)

    async def _take(self, rows: Sequence[feed.Row], position: int, stretch: Stretch) -> int:
        """Write what these events mean, up to one that cannot be taken; where that ends."""
        plain = self._group.group
        batch = feed.read(rows, position, plain.kinds)
        known = None
        try:
            if plain.folds:
                known = await load_of_club(plain, batch.events, self._connection, self._club)
            steps = fold_batch(plain, batch.events, known)
        except Tripped as tripped:
            if tripped.position == position + 1:
                raise
            before = rows[: tripped.position - 1 - position]
            return await self._take(before, position, stretch)
        recorded_at = stretch.events[batch.position - stretch.prev - 1][1][5]
        moved = (batch.position, stretch.digest_at(batch.position), recorded_at)
        async with self._connection.pipeline():
            changes = [in_chain(step, self._club) for step in steps]
            await write(self._group.tables, changes, self._connection)
            await self._connection.execute(_ADVANCE, [*moved, *self._key])
            await sent(self._connection)
            await self._connection.commit()
        return batch.position

    async def _refused(self, fault: Exception) -> None:
        """Raises the fault where it is the database's own, and not of what was to be written."""
        away = isinstance(fault, psycopg.OperationalError) and not isinstance(fault, _OF_ROWS)
        if self._connection.closed or away:
            raise fault
        await self._connection.rollback()

    async def stands(self, why: Standstill, position: int) -> None:
        """Write down why the club does not go on from a position, and let others see to it."""
        case = {
            "name": self._group.name,
            "generation": self._group.generation,
            "club": self._club,
            "position": position,
            "reason": _plain(why.reason),
            "stands_at": why.position,
            "topic": None if why.topic is None else _plain(why.topic),
            "longest": LONGEST_PAUSE,
        }
        cursor = await self._connection.execute(_STANDS, case)
        tries = await cursor.fetchone()
        await self._connection.commit()
        if tries == (1,):
            logger.warning(
                "chain.stands-still",
                group=self._group.name,
                club=self._club,
                reason=why.reason,
                position=why.position,
                topic=why.topic,
            )


def _before(row: feed.Row, fault: Exception) -> Standstill:
    """Why an event is not taken, of whoever refused it; with nothing that is in the event."""
    if isinstance(fault, _OF_TIME):
        return Standstill("its rows in the chain are held by somebody else, or take too long")
    said = (
        database_said(fault)
        if isinstance(fault, psycopg.Error)
        else f"it failed with {type(fault).__name__}"
    )
    return Standstill(said, position=row[0], topic=row[3])


def _plain(text: str) -> str:
    """What others said, as every table takes it: a club's database may say anything."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:LONGEST_REASON])
