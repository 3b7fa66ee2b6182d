"""The read tables, as channels ask them: what `application.ports.queries` promises."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

import psycopg

from application.ports.queries import Lookup, Page, PageRequest, ReadRow, UnreadableCursor, View
from projections.engine.batching import Batcher
from projections.engine.lists import Listing, Statement, page, total, write_cursor
from projections.engine.schema import POSITION

Rows = Callable[[str, Sequence[Any]], Awaitable[list[tuple[Any, ...]]]]
"""Runs one query."""


REMEMBERED = 60.0
"""Seconds for which a count is remembered."""

# How far the tables are, and on which server: after another has taken over, a position may be
# that of other events.
_AS_OF = POSITION.replace("SELECT", "SELECT pg_postmaster_start_time()::text,", 1)


class Cache(Protocol):
    """Keeps what may be computed again; answers nothing where it cannot be reached."""

    async def get(self, *keys: str) -> Sequence[bytes | None]: ...
    async def put(self, key: str, value: bytes, seconds: float) -> None: ...


class Reads:
    """Look-ups by key are collected into one query; equal lists asked for at once run once."""

    def __init__(
        self,
        rows: Rows,
        lists: Rows,
        cache: Cache,
        listings: Mapping[View, Listing],
        lookups: Mapping[Lookup, str],
        *,
        most_lists: int = 4,
    ) -> None:
        """`rows` asks for rows by their key and for look-ups, which are quick.

        `lists` asks for pages and counts, which may not be: at most `most_lists` at once, over
        connections of their own, so that nobody else waits for them.
        """
        self._rows = rows
        self._lists = lists
        self._cache = cache
        self._listings = listings
        self._lookups = lookups
        self._by_key: dict[View, Batcher[tuple[int, ...], ReadRow | None]] = {}
        self._statements: Batcher[Statement, list[tuple[Any, ...]]] = Batcher(
            self._run, most_keys=1, most_fetches=most_lists
        )

    async def one(self, view: View, *key: int) -> ReadRow | None:
        """The row with this key."""
        batcher = self._by_key.get(view)
        if batcher is None:
            listing = self._listings[view]
            batcher = self._by_key[view] = Batcher(lambda keys: self._fetch(listing, keys))
        return await batcher.get(key)

    async def _fetch(
        self, listing: Listing, keys: Sequence[tuple[int, ...]]
    ) -> Mapping[tuple[int, ...], ReadRow | None]:
        columns = [list(column) for column in zip(*keys, strict=True)]
        found: dict[tuple[int, ...], ReadRow | None] = dict.fromkeys(keys)
        for key, owner, version, body in await self._rows(listing.by_key(), columns):
            found[tuple(key)] = ReadRow(owner, version, body)
        return found

    async def page(self, view: View, wanted: PageRequest) -> Page:
        """A page of a view; raises UnreadableCursor."""
        asked = page(self._listings[view], wanted)
        return await page_of(self._statements.get, asked, wanted.limit)

    async def total(self, view: View, wanted: PageRequest) -> int:
        """How many rows all pages have.

        It costs a scan, so it is remembered with the position of the read tables: at the same
        position, it is the same. (But for rows that time alone takes out of a list.)
        """
        statement = total(self._listings[view], wanted)
        ((server, position),) = await self._rows(_AS_OF, ())
        asked_for = hashlib.sha256(repr((server, statement)).encode()).hexdigest()
        key = f"count:{position}:{asked_for}"
        (known,) = await self._cache.get(key)
        if known is not None:
            return int(known)
        rows = await self._statements.get(statement)
        await self._cache.put(key, b"%d" % rows[0][0], REMEMBERED)
        return int(rows[0][0])

    async def find(self, lookup: Lookup, *given: int | str | None) -> list[int]:
        """The numbers that answer a look-up."""
        return [number for (number,) in await self._rows(self._lookups[lookup], given)]

    async def _run(
        self, statements: Sequence[Statement]
    ) -> Mapping[Statement, list[tuple[Any, ...]]]:
        answers = await asyncio.gather(*(self._lists(s.sql, s.params) for s in statements))
        return dict(zip(statements, answers, strict=True))


async def page_of(
    ask: Callable[[Statement], Awaitable[list[tuple[Any, ...]]]], asked: Statement, limit: int
) -> Page:
    """The page that this statement finds; raises UnreadableCursor."""
    try:
        rows = await ask(asked)
    except psycopg.DataError as unreadable:
        # The filters were checked; what does not fit its column is in the cursor.
        raise UnreadableCursor from unreadable
    more = len(rows) > limit
    rows = rows[:limit]
    body = b"[" + b",".join([row[2] for row in rows]) + b"]"
    return Page(body, write_cursor(rows[-1][0], rows[-1][1]) if more else None)
