"""The database: which server it is, and the connections to it.

An era is the time for which one server answers. When the address leads to another one, or the
server was started anew, an era begins: what a process knew by heart it has to learn again, and no
connection of an older era is asked any more.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any
from weakref import WeakSet

import psycopg
import structlog
from psycopg.abc import Buffer
from psycopg.adapt import Loader

from application.ports.ledger import LedgerUnavailable
from infra.ledger.connection import ASLEEP, NAME, Connection, parameters
from infra.ledger.desk import Desk, NoAnswer, TablesOfAnotherRelease
from infra.ledger.schema import HEAD
from projections.engine.schema import POSITION

__all__ = ["Connection", "Desks", "Postgres", "TablesOfAnotherRelease"]

LONGEST_WAIT = 2.0
"""Seconds to wait for a connection to be free, or to be made."""

LOOK = 2.0
"""Seconds between looks at which server it is, and at who sleeps."""

SHORT = 3.0
"""Seconds in which a look, a heartbeat, health or a moment is answered, or not at all."""

CATCHING_UP = 5.0
"""Seconds for which tables may be behind where another server took over, before they are shown."""

PAUSE = 0.02
"""Seconds between looks at how far they are."""

logger = structlog.get_logger(__name__)

# Which server it is, by when it was started. And what cannot be set when a connection is made, as
# older servers do not know it, or a stronger choice has to stay: a transaction may last, and what
# is acknowledged is on disk.
_MEET = """
SELECT pg_postmaster_start_time()::text, (
    SELECT count(set_config(name, CASE setting WHEN 'off' THEN 'on' ELSE '0' END, FALSE))
    FROM pg_settings
    WHERE (name = 'synchronous_commit' AND setting = 'off')
       OR (name = 'transaction_timeout' AND setting <> '0'))
"""

# Ends the connections of ours, in whatever process, whose transaction waits for a client that is
# frozen or gone. Postgres does that by itself where it waits for the next statement, but not where
# it waits for the rest of several, or for its answer to be taken.
_END_SLEEPERS = f"""
SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = '{NAME}' AND pid <> pg_backend_pid()
  AND wait_event_type = 'Client' AND xact_start IS NOT NULL
  AND state_change < clock_timestamp() - make_interval(secs => {ASLEEP})
  AND pg_has_role(usename, 'USAGE')
"""  # noqa: S608 - made of constants


@dataclass(frozen=True, slots=True)
class Desks:
    """How many connections there are for what, and how long a statement may take there."""

    deciding: int = 4
    showing: int = 4
    listing: int = 4
    deciding_seconds: float = 15.0
    showing_seconds: float = 10.0
    follows: bool = True
    """Whether what is shown follows a ledger in the same database, and may be behind it."""


class JsonAsBytes(Loader):
    """JSON made by Postgres goes to the network as it is."""

    def load(self, data: Buffer) -> bytes:
        """The bytes, unread."""
        return bytes(data)


class Postgres:
    """One database: single connections for those who need their own, and desks for questions."""

    def __init__(self, url: str, desks: Desks | None = None) -> None:
        self.url = url
        self.era = 0
        """How often another server has taken over, as far as this process knows."""
        sizes = desks or Desks()
        self.deciding = self._desk(self._for_desk, sizes.deciding, sizes.deciding_seconds)
        """What decisions rest on: aggregates, receipts, numbers, callers, who refers to what."""
        self.showing = self._desk(self._for_showing, sizes.showing, sizes.showing_seconds)
        """Single rows."""
        self.listing = self._desk(self._for_showing, sizes.listing, sizes.showing_seconds)
        """Lists and counts."""
        self.watching = self._desk(self._for_desk, 1, SHORT)
        """Health and heartbeats, which are answered whatever happens at the other desks."""
        self.waiting = self._desk(self._for_desk, 2, SHORT)
        """Who asks about a moment waits here for what is being recorded, which may take long."""
        self._follows = sizes.follows
        self._server: str | None = None
        self._is_primary = True
        self._shown_in = 0
        self._connections: WeakSet[Connection] = WeakSet()

    def _desk(
        self, connect: Callable[[str], Awaitable[Connection]], size: int, seconds: float
    ) -> Desk:
        made = partial(connect, f"{int(seconds * 1000)}ms")
        return Desk(made, self.is_current, size=size, seconds=seconds, longest_wait=LONGEST_WAIT)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Postgres]:
        """Keep the desks open while the context lasts."""
        try:
            yield self
        finally:
            for desk in (self.deciding, self.showing, self.listing, self.watching, self.waiting):
                await desk.close()

    async def rows(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of a query that a decision rests on; see `Desk.rows`."""
        return await self.deciding.rows(sql, params)

    # --- connections -----------------------------------------------------------------------

    async def connect(
        self, settings: Mapping[str, str] = MappingProxyType({}), *, autocommit: bool = False
    ) -> Connection:
        """A connection of one's own; `settings` are the server's, for this connection.

        Raises OperationalError, also where the address leads to a server that follows another
        one and may be behind what was shown before.
        """
        era = self.era
        connection = await _made(
            Connection.connect(
                self.url, autocommit=True, prepare_threshold=1, **parameters(LONGEST_WAIT, settings)
            )
        )
        try:
            await self._meet(connection, era)
            await connection.set_autocommit(autocommit)
        except BaseException:
            await connection.close()
            raise
        self._connections.add(connection)
        return connection

    def is_current(self, connection: Connection) -> bool:
        """Whether the connection leads to the server that answers now."""
        return connection.era == self.era

    async def _for_desk(self, statement_timeout: str) -> Connection:
        connection = await self.connect({"statement_timeout": statement_timeout}, autocommit=True)
        connection.adapters.register_loader("json", JsonAsBytes)
        return connection

    async def _for_showing(self, statement_timeout: str) -> Connection:
        """A connection to tables that show what they showed before another server took over.

        There they may be behind, as what they commit need not be on disk: they are given a while
        to come as far as the ledger is.
        """
        connection = await self._for_desk(statement_timeout)
        if self._follows and self._shown_in != connection.era:
            head = await _number(connection, HEAD)
            give_up = time.monotonic() + CATCHING_UP
            # Nobody tells us: these are not the connections of whoever projects.
            while (  # noqa: ASYNC110
                await _number(connection, POSITION) < head and time.monotonic() < give_up
            ):
                await asyncio.sleep(PAUSE)
            self._shown_in = connection.era
        return connection

    async def _meet(self, connection: Connection, era: int) -> None:
        """Find out which server this is; `era` is that in which connecting began."""
        timer = asyncio.get_running_loop().call_later(LONGEST_WAIT, connection.hang_up)
        try:
            cursor = await connection.execute(_MEET)
            row = await cursor.fetchone()
        finally:
            timer.cancel()
        assert row is not None  # noqa: S101 - a SELECT without FROM gives one row
        if row[0] != self._server:
            self._take_over(row[0], connection, era)
        elif not connection.is_standby:
            self._is_primary = True
        connection.era = self.era

    def _take_over(self, server: str, connection: Connection, era: int) -> None:
        """Another server answers from here on; raises OperationalError where it must not."""
        if self._server is not None:
            if connection.is_standby and self._is_primary:
                raise psycopg.OperationalError("the address leads to a server that is on standby")
            if era != self.era:
                raise psycopg.OperationalError("the address leads to another server by now")
            self.era += 1
            logger.warning("postgres.another-server", era=self.era)
            self._hang_up()
        self._server = server
        self._is_primary = not connection.is_standby

    def _hang_up(self) -> None:
        """Let everybody make a new connection."""
        for connection in list(self._connections):
            connection.hang_up()

    # --- keeping watch ---------------------------------------------------------------------

    async def keep_watch(self) -> None:
        """See to it, until cancelled, that the server is the right one, and that nobody sleeps."""
        while True:
            await asyncio.sleep(LOOK)
            try:
                for pid, ended in await self.watching.rows(_END_SLEEPERS):
                    logger.warning("postgres.sleeper", pid=pid, ended=ended)
            except NoAnswer:
                await self._try_anew()
            except LedgerUnavailable as lost:
                logger.info("postgres.lost", reason=str(lost))
            if not self.watching.takes_writes:
                # It may have been replaced: only a new connection tells.
                await self.watching.clear()

    async def _try_anew(self) -> None:
        """Where a new connection is answered, those that are not are of no use any more."""
        try:
            connection = await self.connect(autocommit=True)
        except psycopg.OperationalError as lost:
            logger.info("postgres.lost", reason=str(lost).strip())
            return
        self._connections.discard(connection)
        await connection.close()
        logger.warning("postgres.connections-swallowed")
        self._hang_up()


async def _made(connecting: Coroutine[Any, Any, Connection]) -> Connection:
    """The connection; one that nobody waits for any more is made all the same, and closed.

    Half made, it would be open until it is collected, and keep the server waiting for a minute.
    """
    making = asyncio.ensure_future(connecting)
    try:
        return await asyncio.shield(making)
    except asyncio.CancelledError:
        with suppress(psycopg.Error):
            await (await making).close()
        raise


async def _number(connection: Connection, sql: str) -> int:
    """The one number that a query answers; 0 for none."""
    cursor = await connection.execute(sql.encode())
    row = await cursor.fetchone()
    return 0 if row is None else int(row[0])
