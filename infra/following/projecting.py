"""The projector of a group: read tables that follow the ledger.

Rows and position are committed together, under a lock on the position: exactly once, whatever
is killed and however many processes project at the same time. The statement that takes the lock
tells whose tables they are: into tables of another definition nothing is written. A batch need not
be on disk when it is shown: what a crash of Postgres takes away, position included, is projected
again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import psycopg
import structlog

from infra.following.follower import Follower, StandsAside, Stuck, database_said, listen
from infra.following.watch import Watch
from infra.ledger import feed
from infra.ledger.pipelines import sent
from infra.ledger.postgres import Connection, Postgres
from infra.ledger.schema import HEAD, number_in
from infra.standstill import Standstill
from projections.engine.folding import Tripped, fold_batch
from projections.engine.model import Group
from projections.engine.writing import load, write

BATCH = 2000
"""Events in one transaction."""

SMALL_BATCH = 250
"""Events in one transaction, where others are not to wait for them."""

logger = structlog.get_logger(__name__)

# The position of a group, and whose tables they are; whoever asks holds it until the commit.
_HOLD = """
SELECT position, definition, generation FROM read_groups WHERE name = %s FOR UPDATE
"""
_ADVANCE = "UPDATE read_groups SET position = %s WHERE name = %s"


class Projector:
    """Follows the ledger for one group."""

    def __init__(
        self,
        postgres: Postgres,
        group: Group,
        watch: Watch,
        build: Callable[[], Awaitable[object]] | None = None,
        *,
        every: float | None = None,
        batch: int = BATCH,
    ) -> None:
        """`watch` is told how far the tables are.

        `build` builds the tables anew where this release's are newer than those in use; without
        it, the projector then stands aside. With `every` it does not follow at once, but looks
        that often, in seconds. A `batch` has at most so many events.
        """
        self.group = group
        self.follower = Follower(group.name, postgres, self._step_or_build, every=every)
        self._watch = watch
        self._build = build
        self._position = 0
        """Where the last step ended: the next will begin there, unless others project, too."""
        self._batch = batch
        self._limit = self._batch

    def wake(self, position: int) -> None:
        """The ledger has come this far."""
        if position > self._position:
            self.follower.wake()

    async def run(self) -> None:
        """Follow the ledger until cancelled."""
        await self.follower.run()

    async def _step_or_build(self, connection: Connection) -> bool:
        try:
            return await self.step(connection) > 0 or self._limit < self._batch
        except TablesOlder as why:
            if self._build is None:
                raise
            said = f"{why}; builds generation {self.group.generation} beside what is in use"
        await connection.rollback()
        self.follower.stands(Standstill(said))
        await self._build()
        return True

    async def catch_up(
        self, connection: Connection, head: int, progress: Callable[[int], None]
    ) -> int:
        """Project what there is up to `head`, batch by batch; returns how many positions.

        Raises what `step` raises.
        """
        done = 0
        while (taken := await self.step(connection)) or self._limit < self._batch:
            done += taken
            progress(taken)
            if self._position >= head:
                break
        return done

    async def step(self, connection: Connection) -> int:
        """Project the next batch; returns how many positions it took.

        Raises StandsAside where the tables are another's, Unreadable, Tripped or Stuck at an
        event that cannot be taken.
        """
        async with connection.pipeline():
            held = await connection.execute(_HOLD, [self.group.name])
            found = await feed.ask(connection, self._position, self._limit)
        position = self._ours(await held.fetchone())
        self._watch.advance(position, connection.era)
        if position != self._position:
            found = await feed.ask(connection, position, self._limit)
        batch = feed.read(await found.fetchall(), position, self.group.kinds)
        if batch.position > position:
            batch = await self._project(batch, position, connection)
        else:
            await self._refuse_ahead(position, connection)
            await connection.rollback()
            # Others took what was halved here.
            self._limit = self._batch
        self._position = batch.position
        self._watch.advance(batch.position, connection.era)
        return batch.position - position

    def _ours(self, held: tuple[Any, ...] | None) -> int:
        """The position, where the tables are those of this group as this release has it."""
        if held is None:
            raise TablesOlder(f"there are no tables of the group {self.group.name} yet")
        position, definition, generation = held
        if definition != self.group.definition:
            raise _whose(self.group, generation)
        return int(position)

    async def _refuse_ahead(self, position: int, connection: Connection) -> None:
        """Raises TablesAhead where the ledger ends before this position."""
        head = await number_in(connection, HEAD)
        if position > head:
            self._watch.fall_back(head)
            raise TablesAhead(
                f"the tables of the group {self.group.name} are at position {position}, and the "
                f"ledger ends at {head}: it was restored to an earlier time"
            )

    async def _project(
        self, batch: feed.Batch, position: int, connection: Connection
    ) -> feed.Batch:
        """Write what the batch means, up to an event that cannot be taken; what was taken."""
        try:
            known = await load(self.group, batch.events, connection) if self.group.folds else None
            steps = fold_batch(self.group, batch.events, known)
        except Tripped as tripped:
            before = feed.Batch(batch.events[: tripped.index], tripped.position - 1)
            if before.position == position:
                raise
            return await self._project(before, position, connection)
        try:
            async with connection.pipeline():
                await write(self.group, steps, connection)
                await connection.execute(_ADVANCE, [batch.position, self.group.name])
                await sent(connection)
                await connection.commit()
        except (psycopg.OperationalError, psycopg.InterfaceError):
            raise
        except psycopg.Error as fault:
            await connection.rollback()
            self._half(batch, position, fault)
            return feed.Batch((), position)
        self._limit = self._batch
        return batch

    def _half(self, batch: feed.Batch, position: int, fault: psycopg.Error) -> None:
        """The database refused something in this batch: come closer to it, event by event."""
        taken = batch.position - position
        if taken == 1:
            topic = batch.events[0].event.TOPIC if batch.events else "none of its own"
            raise Stuck(batch.position, topic, database_said(fault)) from fault
        self._limit = taken // 2
        logger.info("projector.halves", group=self.group.name, events=self._limit)


class TablesOlder(StandsAside):
    """The tables in use are older than this release's, or not there yet."""


class TablesAhead(TablesOlder):
    """The tables in use show what the ledger does not hold."""


def _whose(group: Group, generation: int) -> StandsAside:
    """Why the tables in use are not this release's to write."""
    if generation < group.generation:
        return TablesOlder(
            f"the tables of the group {group.name} are of generation {generation}, and this "
            f"release has generation {group.generation}: whoever projects builds them"
        )
    if generation > group.generation:
        return StandsAside(
            f"the tables of the group {group.name} are of generation {generation}, made by a "
            f"newer release; this one has generation {group.generation} and stands aside"
        )
    return StandsAside(
        f"the tables of the group {group.name} were made by another release that calls itself "
        f"generation {generation}, too: `club replay` makes them this one's"
    )


class Projecting:
    """All projectors of a process, and the one ear that they share."""

    def __init__(self, postgres: Postgres, projectors: tuple[Projector, ...]) -> None:
        self._postgres = postgres
        self.projectors = projectors

    @property
    def stuck(self) -> Standstill | None:
        """Why one of them does not get past an event; None where all do."""
        found = (projector.follower.standstill for projector in self.projectors)
        return next((why for why in found if why and why.position is not None), None)

    def wake(self, position: int) -> None:
        """The ledger has come this far."""
        for projector in self.projectors:
            projector.wake(position)

    async def run(self) -> None:
        """Follow the ledger until cancelled, each group by itself."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(listen(self._postgres, self.wake), name="ledger-listener")
            for projector in self.projectors:
                tasks.create_task(projector.run(), name=f"projector-{projector.group.name}")
