"""What happened to one thing, in all of the club, and how things were."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import Any, NamedTuple

from application.absent import missing
from application.access import THE_CLUB, Caller
from application.history.pages import LAST, PageOf, Pages, read_cursor, write_cursor
from application.history.states import CHUNK, State, States, after
from application.history.telling import logged, tell, without_before
from application.history.why import explain
from application.ports.history import Entry, History, Wanted
from application.slices import Slices
from domain.aggregate import Aggregate
from domain.refusals import Invalid

MOST_LOOKED_AT = 5_000
"""Events of one thing that are looked through for one page, however few of them are wanted."""


class LiesAhead(Invalid):
    """This has not come yet: the ledger ends at position {head}, now."""


class Holding(NamedTuple):
    """A fact of a thing, and the position since which it holds."""

    fact: Any
    position: int


class Past:
    """What happened and how it was, as the ledger has it."""

    def __init__(self, history: History, era: Callable[[], int]) -> None:
        """`era` is the ledger's: what was known of another may be in no ledger any more."""
        self._history = history
        self._states = States(history, era)

    # --- one thing -------------------------------------------------------------------------

    async def of(
        self,
        kind: type[Aggregate],
        number: int,
        pages: Pages,
        reader: Caller = THE_CLUB,
        since: int = 0,
    ) -> PageOf:
        """A page of what happened to a thing, also one that is gone; raises NotFound.

        To whoever is no ADMIN, it is told without saying who others are; and since the position
        at which it became theirs, without what it was before. A page may have less than it
        could: so much is looked through for each.
        """
        stream = kind.stream(number)
        first, last = await self._versions(kind, number, pages, since)
        page: list[dict[str, Any]] = []
        looked_at = 0
        async for entry, told in self._told(stream, first, last, newest_first=pages.newest_first):
            if len(page) == pages.limit or looked_at == MOST_LOOKED_AT:
                before = entry.version + 1 if pages.newest_first else entry.version - 1
                return PageOf(page, write_cursor(stream, before))
            looked_at += 1
            if pages.type in {None, entry.topic}:
                theirs = without_before(told) if entry.position == since else told
                page.append(logged(entry, reader) | theirs)
        return PageOf(page, None)

    async def _versions(
        self, kind: type[Aggregate], number: int, pages: Pages, since: int
    ) -> tuple[int, int]:
        """The first and the last version of a thing that may be on a page; raises NotFound."""
        stream = kind.stream(number)
        first, last = 1, await self._history.version_at(stream, LAST)
        if not last:
            raise missing(kind, number)
        if (begin := max(pages.first, since)) > 1:
            first = await self._history.version_at(stream, begin - 1) + 1
        if pages.last < LAST:
            last = await self._history.version_at(stream, pages.last)
        if pages.after is not None:
            # Anybody can write a cursor: it does not lead to what is before the first.
            (place,) = read_cursor(pages.after, stream, 1)
            if pages.newest_first:
                last = min(last, place - 1)
            else:
                first = max(first, place + 1)
        return first, last

    async def _told(
        self, stream: str, first: int, last: int, *, newest_first: bool
    ) -> AsyncIterator[tuple[Entry, dict[str, Any]]]:
        """What is told of each event from one version to another."""
        chunks = range(max(first - 1, 0) // CHUNK, max(last - 1, 0) // CHUNK + 1)
        for chunk in reversed(chunks) if newest_first else chunks:
            told = [one for one in await self._chunk(stream, chunk) if first <= one[0].version]
            told = [one for one in told if one[0].version <= last]
            for one in reversed(told) if newest_first else told:
                yield one

    async def _chunk(self, stream: str, chunk: int) -> list[tuple[Entry, dict[str, Any]]]:
        state = (await self._states.before(stream, chunk)).twin()
        told, slices = [], Slices()
        for entry in await self._history.stream(stream, chunk * CHUNK, CHUNK):
            state, one = tell(state, entry)
            told.append((entry, one))
            await slices.between()
        if len(told) == CHUNK:
            self._states.keep(stream, chunk + 1, state)
        return told

    # --- how it was ------------------------------------------------------------------------

    async def was(self, stream: str, position: int) -> Aggregate | None:
        """What a thing was at a position; None where it was not there yet, or not any more.

        Raises EventOfNewerRelease where this release cannot know.
        """
        aggregate = await self.ever(stream, position)
        return None if aggregate is None or aggregate.deleted else aggregate

    async def ever(self, stream: str, position: int) -> Aggregate | None:
        """The same, but what was gone by then is what it was when it went."""
        entries = await self._history.stream(stream, 0, CHUNK)
        if len(entries) == CHUNK and entries[-1].position < position:
            version = await self._history.version_at(stream, position)
            chunk = (version - 1) // CHUNK
            state = (await self._states.before(stream, chunk)).twin()
            entries = await self._history.stream(stream, chunk * CHUNK, CHUNK)
        else:
            state = State()
        slices = Slices()
        for entry in entries:
            if entry.position > position:
                break
            state = after(state, entry)
            await slices.between()
        return state.known()

    async def holds_since(self, stream: str, fact: str) -> Holding | None:
        """A fact of a thing as it is, or was when it went, and since when.

        That is the end of the command which changed it; what it began with holds since the first
        event. None for what never was. Raises EventOfNewerRelease where this release cannot know.
        """
        state, held, command = State(), None, ""
        version, slices = 0, Slices()
        while entries := await self._history.stream(stream, version, CHUNK):
            for entry in entries:
                state = after(state, entry)
                aggregate = state.known()
                assert aggregate is not None  # noqa: S101 - what has events is there
                found = aggregate.facts[fact]
                if held is None:
                    held = Holding(found, entry.position)
                elif held.fact != found:
                    command = entry.command_id
                if entry.command_id == command:
                    held = Holding(found, entry.position)
                await slices.between()
            version = entries[-1].version
        return held

    async def position(self, given: int | datetime) -> int:
        """The position that is meant by a position, or by a moment; raises LiesAhead.

        A moment stands for the last event that was recorded by then.
        """
        if isinstance(given, datetime):
            position = await self._history.position_at(given)
        else:
            position = given if given <= await self._history.head() else None
        if position is None:
            raise LiesAhead(head=await self._history.head())
        return position

    async def whole(self, given: int | datetime) -> int:
        """The same, but where it is in the middle of a command, the end of that one."""
        return await self._history.end_of_command(await self.position(given))

    # --- everything ------------------------------------------------------------------------

    async def log(
        self, pages: Pages, *, actor: str | None = None, correlation_id: str | None = None
    ) -> PageOf:
        """A page of everything that happened, up to when its first page was asked for.

        A page may have less than it could: so much is looked through for each, and no more.
        """
        until = min(pages.last, await self._history.head())
        after = pages.first - 1
        if pages.after is not None:
            after, until = read_cursor(pages.after, "log", 2)
        wanted = Wanted(
            after, until, pages.limit, pages.newest_first, pages.type, actor, correlation_id
        )
        found = await self._history.log(wanted)
        cursor = None
        if found.reached is not None:
            rest = (after, found.reached - 1) if pages.newest_first else (found.reached, until)
            cursor = write_cursor("log", *rest)
        return PageOf([logged(entry) for entry in found.entries], cursor)

    async def why(self, event: int | str) -> dict[str, Any]:
        """What caused an event, and all that it caused, as a tree; raises NotFound."""
        return await explain(self._history, event)
