"""A desk: a few connections, for questions of one kind.

Who asks at one desk does not wait for those at another. A question that takes too long is given
up, and not asked again; one whose connection is lost, or leads to a server that is not the right
one any more, is asked once more, over a new connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from psycopg.errors import (
    LockNotAvailable,
    QueryCanceled,
    ReadOnlySqlTransaction,
    UndefinedColumn,
    UndefinedTable,
)
from psycopg.pq import TransactionStatus

from application.ports.ledger import LedgerUnavailable, TookTooLong
from infra.ledger.connection import Connection

ON_ITS_WAY = 3.0
"""Seconds for which an answer may be on its way, beyond those for which it may be worked on."""


class TablesOfAnotherRelease(LedgerUnavailable):
    """The read tables are those of another release, and this one cannot read them."""


class NoAnswer(TookTooLong):
    """The server did not say anything, not even that it takes too long."""


class _AskAgain(Exception):
    """The answer, if there is one, is not from the server that has to give it."""


class Desk:
    """Answers questions over a few connections, which it makes as they are needed."""

    def __init__(
        self,
        connect: Callable[[], Awaitable[Connection]],
        is_current: Callable[[Connection], bool],
        *,
        size: int,
        seconds: float,
        longest_wait: float,
    ) -> None:
        """`size` connections, on which a statement ends after `seconds`.

        `is_current` tells whether a connection leads to the server that counts; `longest_wait`
        is for how many seconds one waits for a connection to be free.
        """
        self._connect = connect
        self._is_current = is_current
        self._patience = seconds + ON_ITS_WAY
        self._longest_wait = longest_wait
        self._places = asyncio.Semaphore(size)
        self._idle: list[Connection] = []
        self._closed = False

    async def rows(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of one query, each statement a transaction of its own.

        Raises TookTooLong, TablesOfAnotherRelease, or LedgerUnavailable while the database cannot
        be reached, or not be written.
        """
        try:
            return await self._ask(sql, params)
        except _AskAgain:
            # What else is idle here is hardly better.
            await self.clear()
        try:
            return await self._ask(sql, params)
        except _AskAgain as lost:
            raise LedgerUnavailable(str(lost)) from lost

    @property
    def takes_writes(self) -> bool:
        """Whether the server does, as far as the connections know that are idle now."""
        return all(connection.takes_writes for connection in self._idle)

    async def clear(self) -> None:
        """Close what is idle: who asks next gets a new connection."""
        idle, self._idle = self._idle, []
        for connection in idle:
            await connection.close()

    async def close(self) -> None:
        """Close everything; what is in use, as soon as it is answered."""
        self._closed = True
        await self.clear()

    async def _ask(self, sql: str, params: Sequence[Any]) -> list[tuple[Any, ...]]:
        async with self._connection() as connection:
            took_writes = connection.takes_writes
            rows = await self._answer(connection, sql, params)
            if took_writes and not connection.takes_writes:
                raise _AskAgain("the server does not take writes any more")
            if not self._is_current(connection):
                raise _AskAgain("another server has taken over")
            return rows

    async def _answer(
        self, connection: Connection, sql: str, params: Sequence[Any]
    ) -> list[tuple[Any, ...]]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._patience
        timer = loop.call_at(deadline, connection.hang_up)
        try:
            cursor = await connection.execute(sql.encode(), params or None)
            return await cursor.fetchall() if cursor.description else []
        except (QueryCanceled, LockNotAvailable) as slow:
            raise TookTooLong(_first_line(slow)) from slow
        except ReadOnlySqlTransaction as closed:
            raise _AskAgain(_first_line(closed)) from closed
        except (UndefinedTable, UndefinedColumn) as other:
            raise TablesOfAnotherRelease(_first_line(other)) from other
        except psycopg.OperationalError as fault:
            if loop.time() >= deadline:
                raise NoAnswer from fault
            if connection.closed:
                raise _AskAgain(_first_line(fault)) from fault
            raise LedgerUnavailable(_first_line(fault)) from fault
        finally:
            timer.cancel()

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        """One of the connections, for as long as the block lasts."""
        try:
            async with asyncio.timeout(self._longest_wait):
                await self._places.acquire()
        except TimeoutError as waited:
            raise LedgerUnavailable("all connections for this are in use") from waited
        try:
            connection = await self._idle_or_new()
            try:
                yield connection
            finally:
                await self._put_back(connection)
        finally:
            self._places.release()

    async def _idle_or_new(self) -> Connection:
        while self._idle:
            connection = self._idle.pop()
            if self._is_current(connection) and not connection.closed:
                return connection
            await connection.close()
        try:
            return await self._connect()
        except psycopg.Error as unreachable:
            raise LedgerUnavailable(_first_line(unreachable)) from unreachable

    async def _put_back(self, connection: Connection) -> None:
        usable = connection.info.transaction_status == TransactionStatus.IDLE
        if usable and not self._closed and self._is_current(connection):
            self._idle.append(connection)
        else:
            await connection.close()


def _first_line(fault: psycopg.Error) -> str:
    return str(fault).strip().partition("\n")[0]
