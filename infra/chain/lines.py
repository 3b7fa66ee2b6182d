"""Connections to the chain's Postgres that are kept, and made anew where one is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg

from infra.chain.store import ChainStore, InChain
from infra.ledger.postgres import Connection

_LOST = (psycopg.InterfaceError, psycopg.InternalError)
"""A connection that is closed, or whose transaction was ended for us."""


class Lines:
    """A few connections to the tables of one group, or to those of no group, in autocommit."""

    def __init__(self, store: ChainStore, group: InChain | None = None, *, size: int = 1) -> None:
        self._store = store
        self._group = group
        self._free: asyncio.LifoQueue[Connection | None] = asyncio.LifoQueue()
        for _ in range(size):
            self._free.put_nowait(None)

    @asynccontextmanager
    async def one(self) -> AsyncIterator[Connection]:
        """A connection, as soon as one is free.

        Raises psycopg.OperationalError where the chain's own database is away, or lost us; what
        it cannot understand stays what it is, as no new attempt would help.
        """
        connection = await self._free.get()
        try:
            if connection is None or not self._is_good(connection):
                connection = await self._anew(connection)
            yield connection
        except BaseException as fault:
            if connection is not None:
                await connection.close()
                connection = None
            if isinstance(fault, _LOST):
                raise psycopg.OperationalError(str(fault)) from fault
            raise
        finally:
            self._free.put_nowait(connection)

    def _is_good(self, connection: Connection) -> bool:
        return not connection.closed and self._store.postgres.is_current(connection)

    async def _anew(self, lost: Connection | None) -> Connection:
        if lost is not None:
            await lost.close()
        return await self._store.line(self._group, autocommit=self._group is None)

    async def close(self) -> None:
        """Close those that are not in use."""
        for _ in range(self._free.qsize()):
            connection = self._free.get_nowait()
            if connection is not None:
                await connection.close()
