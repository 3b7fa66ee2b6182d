"""What `application.ports.history` asks of the ledger, in Postgres.

An event that this release cannot read is an entry all the same, with the reason: it is named, and
nobody guesses what it says.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from application.ports.history import Entry, Stretch, Wanted
from infra.ledger.mapper import UnreadableEvent, to_event
from infra.ledger.postgres import Postgres
from infra.ledger.schema import HEAD, LOCK

MOST_LOOKED_AT = 20_000
"""Positions that are looked through for one page of the log, however few of them are wanted.

Of one conversation, so many of its own.
"""

# A moment that nobody here can say was put there by somebody else, past the club.
_ENTRY = """
SELECT notification_id, originator_id, originator_version, topic, state,
       CASE WHEN recorded_at BETWEEN '0001-01-02Z' AND '9999-12-30Z' THEN recorded_at END,
       actor, command, command_id, correlation_id, causation_id
FROM ledger_events
"""
# Of one aggregate, in order.
_STREAM = f"""{_ENTRY} WHERE originator_id = %s AND originator_version > %s
ORDER BY originator_version LIMIT %s
"""
_VERSION_AT = """
SELECT originator_version FROM ledger_events
WHERE originator_id = %s AND notification_id <= %s ORDER BY originator_version DESC LIMIT 1
"""
_AT = f"{_ENTRY} WHERE notification_id = %s"
_NAMED = f"{_ENTRY} WHERE originator_id = %s AND originator_version = %s"
# What one command recorded: its events are next to each other.
_AROUND = f"""{_ENTRY} WHERE notification_id BETWEEN %s AND %s AND command_id = %s
ORDER BY notification_id
"""
_END_OF_COMMAND = f"""
SELECT coalesce((
    SELECT notification_id - 1 FROM ledger_events AS next
    WHERE notification_id > at.notification_id AND command_id <> at.command_id
    ORDER BY notification_id LIMIT 1
), ({HEAD})) FROM ledger_events AS at WHERE notification_id = %s
"""  # noqa: S608 - made of constants
# As far as a page of one conversation may be looked through.
_FAR = """
SELECT notification_id FROM ledger_events
WHERE correlation_id = %s AND notification_id > %s AND notification_id <= %s
ORDER BY notification_id {direction} OFFSET %s LIMIT 1
"""
_LOG = """{entry} WHERE notification_id > %s AND notification_id <= %s
AND (%s::text IS NULL OR topic = %s) AND (%s::text IS NULL OR actor = %s)
{conversation}
ORDER BY notification_id {direction} LIMIT %s
"""
# Whether a moment has passed; then what is being recorded at the moment is waited for. The clock is
# read before the lock is taken: who records after it has been given back reads a later one.
_HAS_PASSED = f"""
WITH asked AS MATERIALIZED (SELECT clock_timestamp() > %s AS has_passed)
SELECT CASE WHEN has_passed THEN pg_advisory_xact_lock_shared({LOCK})::text END IS NOT NULL
FROM asked
"""  # noqa: S608 - made of constants
# Whoever records holds the lock from before the moment is set until all of it is committed.
_ALL_SEEN_BY = f"""
SELECT CASE WHEN pg_try_advisory_xact_lock_shared({LOCK}) THEN clock_timestamp() END
"""
# How many positions there are up to a moment: as they are without gaps, and no event was recorded
# before one of an earlier position, one power of two after the other is tried, from the largest.
_POSITION_AT = f"""
WITH RECURSIVE head AS ({HEAD}), search (step, position) AS (
    SELECT 62, 0::bigint
    UNION ALL
    SELECT step - 1, CASE
        WHEN position + (1::bigint << step) <= (SELECT * FROM head) AND coalesce((
            SELECT recorded_at <= %s FROM ledger_events
            WHERE notification_id = position + (1::bigint << step)), FALSE)
        THEN position + (1::bigint << step) ELSE position END
    FROM search WHERE step >= 0
)
SELECT position FROM search WHERE step = -1
"""  # noqa: S608 - made of constants


class PostgresHistory:
    """Reads the ledger for those who want to know what happened."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def head(self) -> int:
        """The last position."""
        return int((await self._rows(HEAD))[0][0])

    async def position_at(self, moment: datetime) -> int | None:
        """The last position that was recorded by then; see the port."""
        ((has_passed,),) = await self._postgres.waiting.rows(_HAS_PASSED, [moment])
        if not has_passed:
            return None
        return int((await self._rows(_POSITION_AT, moment))[0][0])

    async def end_of_command(self, position: int) -> int:
        """The last position of the command that is recorded there."""
        rows = await self._rows(_END_OF_COMMAND, position)
        return int(rows[0][0]) if rows else position

    async def all_seen_by(self) -> datetime | None:
        """A moment: all that was recorded before it is seen since; None while somebody records."""
        moment: datetime | None = (await self._rows(_ALL_SEEN_BY))[0][0]
        return moment

    async def stream(self, stream: str, after: int, limit: int) -> Sequence[Entry]:
        """The next entries of one aggregate."""
        return [_entry(row) for row in await self._rows(_STREAM, stream, after, limit)]

    async def version_at(self, stream: str, position: int) -> int:
        """The version that an aggregate had at a position."""
        rows = await self._rows(_VERSION_AT, stream, position)
        return int(rows[0][0]) if rows else 0

    async def log(self, wanted: Wanted) -> Stretch:
        """A stretch of the log; one conversation is found wherever it is."""
        first, last = await self._looked_through(wanted)
        sql = _LOG.format(
            entry=_ENTRY,
            conversation="" if wanted.correlation_id is None else "AND correlation_id = %s",
            direction="DESC" if wanted.newest_first else "ASC",
        )
        conversation = [] if wanted.correlation_id is None else [wanted.correlation_id]
        of_type, by = [wanted.type] * 2, [wanted.actor] * 2
        rows = await self._rows(sql, first, last, *of_type, *by, *conversation, wanted.limit + 1)
        entries = [_entry(row) for row in rows[: wanted.limit]]
        if len(rows) > wanted.limit:
            return Stretch(entries, entries[-1].position)
        if wanted.newest_first:
            return Stretch(entries, first + 1 if first > wanted.after else None)
        return Stretch(entries, last if last < wanted.until else None)

    async def _looked_through(self, wanted: Wanted) -> tuple[int, int]:
        """After which position and up to which one the log is looked through for a page of it."""
        first, last = wanted.after, wanted.until
        if wanted.correlation_id is not None:
            sql = _FAR.format(direction="DESC" if wanted.newest_first else "ASC")
            far = await self._rows(sql, wanted.correlation_id, first, last, MOST_LOOKED_AT - 1)
            if not far:
                return first, last
            ((position,),) = far
            return (position - 1, last) if wanted.newest_first else (first, position)
        # A position that nobody looks up, so that a stretch costs what it is long.
        if wanted.newest_first:
            return max(first, last - MOST_LOOKED_AT), last
        return first, min(last, first + MOST_LOOKED_AT)

    async def entry(self, event_id: str | int) -> Entry | None:
        """The entry of a position, or of an event's own id."""
        if isinstance(event_id, int):
            rows = await self._rows(_AT, event_id)
        else:
            stream, _, version = event_id.rpartition("/")
            rows = await self._rows(_NAMED, stream, int(version))
        return _entry(rows[0]) if rows else None

    async def around(self, entry: Entry, most: int) -> Sequence[Entry]:
        """What the same command recorded."""
        at = entry.position
        rows = await self._rows(_AROUND, at - most, at + most, entry.command_id)
        return [_entry(row) for row in rows]

    async def _rows(self, sql: str, *params: object) -> list[tuple[Any, ...]]:
        return await self._postgres.listing.rows(sql, params)


def _entry(row: tuple[Any, ...]) -> Entry:
    position, stream, version, topic, state, *more = row
    try:
        event, unreadable = to_event(stream, version, topic, bytes(state)), None
    except UnreadableEvent as newer:
        event, unreadable = None, str(newer)
    return Entry(position, stream, version, topic, event, unreadable, *more)
