"""New tables of a group that grow beside those in use, as far as the ledger has come.

Memory is bounded by a few batches.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from typing import Any

import psycopg

from infra.faults import Fault
from infra.following.follower import database_said
from infra.ledger import feed
from infra.ledger.schema import HEAD, number_in
from projections.engine.folding import Changes, fold_batch
from projections.engine.model import Group
from projections.engine.schema import add_constraints
from projections.engine.table import Switch
from projections.engine.writing import load, switched, write

BATCH = 5000
"""Events read, folded and written together."""

NEAR = 2000
"""Events behind which the new tables may be when the constraints are added."""

BESIDE = "club_rebuild_"
"""How the names of schemas begin in which new tables grow."""

Connection = psycopg.AsyncConnection[Any]
Progress = Callable[[int], None]


class ReadTablesError(Fault):
    """The read tables cannot be made, or not be exchanged."""


class TablesTooStrict(ReadTablesError):
    """The ledger holds what the tables, as they are set now, do not allow: {reason}."""


def beside(group: Group) -> str:
    """The schema in which new tables of the group grow."""
    return f"{BESIDE}{group.name}"


class Builder:
    """The new tables, and how far they have come."""

    def __init__(
        self, group: Group, connection: Connection, reader: Connection, progress: Progress
    ) -> None:
        self.group = group
        self.connection = connection
        self.reader = reader
        self._progress = progress
        self._switches: dict[str, Switch] = {}
        self._constrained = False
        self.position = 0
        self.events = 0

    async def catch_up_nearly(self) -> None:
        """Take in the ledger, until what is left is little."""
        while (head := await number_in(self.reader, HEAD)) - self.position > NEAR or (
            self.position == 0
        ):
            if not await self.catch_up(head):
                return

    async def constrain(self) -> None:
        """Add the constraints and indexes, which rows come faster without."""
        with not_too_strict():
            await add_constraints(self.connection, self.group, list(self._switches.values()))
        self._constrained = True

    async def catch_up(self, target: int) -> int:
        """Project everything up to `target`; returns the number of events.

        While one batch is being written, the next is read and folded.
        """
        done = self.events
        async with aclosing(self._batches(target)) as batches:
            upcoming = asyncio.ensure_future(anext(batches, None))
            try:
                while (batch := await upcoming) is not None:
                    upcoming = asyncio.ensure_future(anext(batches, None))
                    await self._write(*batch)
            finally:
                upcoming.cancel()
                await asyncio.wait([upcoming])
        return self.events - done

    async def _write(self, batch: feed.Batch, steps: Sequence[Changes] | None) -> None:
        with not_too_strict():
            async with self.connection.transaction():
                if steps is None:
                    known = await load(self.group, batch.events, self.connection)
                    steps = fold_batch(self.group, batch.events, known)
                await write(
                    self.group,
                    steps,
                    self.connection,
                    constrained=self._constrained,
                    many=True,
                )
        for switch in switched(steps):
            self._switches[switch.constraint.name] = switch
        events = batch.position - self.position
        self.position, self.events = batch.position, self.events + events
        self._progress(events)

    async def _batches(
        self, target: int
    ) -> AsyncGenerator[tuple[feed.Batch, Sequence[Changes] | None], None]:
        """What comes next; folded already, where that does not rest on rows to be written."""
        position = self.position
        while position < target:
            batch = await feed.after(
                self.reader, position, BATCH, until=target, kinds=self.group.kinds
            )
            if batch.position == position:
                return
            position = batch.position
            yield batch, None if self.group.folds else fold_batch(self.group, batch.events)


@contextmanager
def not_too_strict() -> Iterator[None]:
    """Raises TablesTooStrict for rows that a constraint forbids, also one of an administrator."""
    try:
        yield
    except psycopg.IntegrityError as forbidden:
        raise TablesTooStrict(reason=database_said(forbidden)) from forbidden
