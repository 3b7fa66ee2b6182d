"""Connections to Postgres."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from application.ports.ledger import LedgerUnavailable

READERS = 4
"""Connections that queries share."""

LONGEST_WAIT = 2.0
"""Seconds to wait for one of them, or for a connection to be made."""


class TablesOfAnotherRelease(LedgerUnavailable):
    """The read tables are those of another release, and this one cannot read them."""


class JsonAsBytes(Loader):
    """JSON made by Postgres goes to the network as it is."""

    def load(self, data: Buffer) -> bytes:
        """The bytes, unread."""
        return bytes(data)


class Postgres:
    """One database: single connections for those who need their own, a pool for queries."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._pool: AsyncConnectionPool[psycopg.AsyncConnection[Any]] = AsyncConnectionPool(
            url,
            min_size=1,
            max_size=READERS,
            timeout=LONGEST_WAIT,
            open=False,
            kwargs={"autocommit": True, "prepare_threshold": 1, **_SETTINGS},
            configure=_configure,
            check=None,
        )

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Postgres]:
        """Keep the pool open while the context lasts."""
        await self._pool.open()
        try:
            yield self
        finally:
            await self._pool.close()

    async def connect(self, *, autocommit: bool = False) -> psycopg.AsyncConnection[Any]:
        """A connection of one's own."""
        return await psycopg.AsyncConnection.connect(
            self.url, autocommit=autocommit, prepare_threshold=1, **_SETTINGS
        )

    async def rows(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of one query, each statement a transaction of its own.

        Raises LedgerUnavailable while the database cannot be reached, or not be written.
        """
        try:
            return await self._rows(sql, params)
        except psycopg.errors.ReadOnlySqlTransaction as closed:
            raise LedgerUnavailable(str(closed).strip()) from closed
        except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn) as other:
            raise TablesOfAnotherRelease(str(other).partition("\n")[0]) from other
        except psycopg.OperationalError:
            # The server may have been restarted under an idle pool: replace what is broken.
            await self._pool.check()
        try:
            return await self._rows(sql, params)
        except psycopg.OperationalError as lost:
            raise LedgerUnavailable(str(lost).strip()) from lost

    async def _rows(self, sql: str, params: Sequence[Any]) -> list[tuple[Any, ...]]:
        try:
            async with self._pool.connection() as connection:
                cursor = await connection.execute(sql.encode(), params or None)
                return await cursor.fetchall() if cursor.description else []
        except PoolTimeout as waited:
            raise LedgerUnavailable(str(waited)) from waited


_SETTINGS: dict[str, Any] = {
    "connect_timeout": int(LONGEST_WAIT),
    "options": (
        "-c timezone=UTC -c search_path=public -c jit=off "
        "-c statement_timeout=60s -c lock_timeout=30s "
        # Whoever is frozen, or gone, in the middle of a transaction loses it, and what it locked.
        "-c idle_in_transaction_session_timeout=10s"
    ),
    "application_name": "club",
    # A server that vanishes without a word is noticed within seconds, not after the kernel's
    # quarter of an hour.
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}


async def _configure(connection: psycopg.AsyncConnection[Any]) -> None:
    connection.adapters.register_loader("json", JsonAsBytes)
