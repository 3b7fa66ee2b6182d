"""Whoever follows the ledger: a name, a position of its own, and one step, over and over.

A step takes the next batch, does what it means, and commits that with the position. A follower
that meets an event it cannot take stands still there and says so, tries again with growing
pauses, and holds up nobody else; whatever the fault is, it ends neither the follower nor anything
beside it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import psycopg
import structlog

from infra.faults import Fault
from infra.ledger.feed import Unreadable
from infra.ledger.postgres import Connection, Postgres
from infra.ledger.schema import CHANNEL
from infra.standstill import Standstill
from projections.engine.folding import Tripped

POLL = 0.5
"""Seconds after which to look without having been woken: a wake-up can be missed."""

RETRY = 0.5
"""Seconds before the first new attempt after a fault."""

LONGEST_PAUSE = 15.0
"""Seconds between attempts in the end, after one fault after the other."""

logger = structlog.get_logger(__name__)


class StandsAside(Exception):
    """Somebody else's part: this follower must not do its own here, and says why."""


class Stuck(Exception):
    """The database does not take what an event means."""

    def __init__(self, position: int, topic: str, reason: str) -> None:
        super().__init__(f"position {position} ({topic}): {reason}")
        self.position = position
        self.topic = topic
        self.reason = reason


class Follower:
    """Follows the ledger until it is cancelled."""

    def __init__(
        self,
        name: str,
        postgres: Postgres,
        step: Callable[[Connection], Awaitable[bool]],
        *,
        passes_on: tuple[type[Exception], ...] = (),
        every: float | None = None,
    ) -> None:
        """`step` answers whether there is more to take at once.

        `passes_on` are faults of whatever it feeds, which are for its caller to bear. With `every`
        it looks that often, in seconds, whatever happens meanwhile.
        """
        self.name = name
        self.standstill: Standstill | None = None
        self._postgres = postgres
        self._step = step
        self._passes_on = passes_on
        self._every = every
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """There is something new."""
        self._woken.set()

    def stands(self, why: Standstill) -> None:
        """Say why it does not go on, as long as it does not."""
        if self.standstill == why:
            return
        self.standstill = why
        logger.warning(
            "follower.stands-still",
            follower=self.name,
            reason=why.reason,
            position=why.position,
            topic=why.topic,
        )

    async def run(self) -> None:
        """Take step after step, also across faults and lost connections."""
        pause = RETRY
        while True:
            try:
                async with connected(self._postgres) as connection:
                    while True:
                        self._woken.clear()
                        more = await self._step(connection)
                        self._goes_on()
                        pause = RETRY
                        if not more:
                            await self._rest(self._every)
            except self._passes_on:
                raise
            except Exception as fault:  # noqa: BLE001 - told, and tried again; see the module
                self.stands(standstill_of(fault))
                pause = RETRY if isinstance(fault, _OF_THE_SERVER) else pause
                await self._rest(pause)
                pause = min(pause * 2, LONGEST_PAUSE)

    async def _rest(self, seconds: float | None = None) -> None:
        """Wait until woken, or until it is time to look; for `seconds`, whoever wakes it."""
        if seconds is not None:
            await asyncio.sleep(seconds)
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(POLL):
                await self._woken.wait()

    def _goes_on(self) -> None:
        if self.standstill is not None:
            logger.info("follower.goes-on", follower=self.name)
            self.standstill = None


_OF_THE_SERVER = (psycopg.OperationalError, psycopg.errors.ReadOnlySqlTransaction)
"""Faults of the server, not of an event: another may answer soon."""


@asynccontextmanager
async def connected(postgres: Postgres) -> AsyncIterator[Connection]:
    """A connection whose commits need not be on disk; it is closed whatever ends it."""
    connection = await postgres.connect(autocommit=True)
    try:
        await connection.execute("SET synchronous_commit = off")
        await connection.set_autocommit(False)
        yield connection
    finally:
        await connection.close()


def standstill_of(fault: Exception) -> Standstill:
    """What a fault means for people; never with the contents of a row."""
    match fault:
        case Unreadable() | Tripped() | Stuck():
            return Standstill(fault.reason, position=fault.position, topic=fault.topic)
        case Fault():
            return Standstill(str(fault).partition("\n")[0])
        case StandsAside():
            return Standstill(str(fault), aside=True)
        case psycopg.Error():
            return Standstill(database_said(fault))
        case _:
            return Standstill(f"it failed with {type(fault).__name__}: {fault}")


def database_said(fault: psycopg.Error) -> str:
    """The first line of what the database said, without any value of a row.

    Of most faults these are in the detail; of a value that it cannot take, in the line itself.
    """
    if isinstance(fault, psycopg.DataError):
        return f"a value is none that its column takes ({type(fault).__name__})"
    return fault.diag.message_primary or str(fault).strip().partition("\n")[0]


async def listen(postgres: Postgres, wake: Callable[[int], None]) -> None:
    """Hear of what any process appends, until cancelled; `wake` is told the position."""
    while True:
        try:
            async with await postgres.connect(autocommit=True) as connection:
                await connection.execute(f"LISTEN {CHANNEL}".encode())
                async for notification in connection.notifies():
                    # Whoever shares the database may use the channel's name, too.
                    with suppress(ValueError):
                        wake(int(notification.payload))
        except psycopg.Error as lost:
            logger.warning("listener.lost", reason=str(lost).strip())
            await asyncio.sleep(RETRY)
