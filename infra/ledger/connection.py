"""One connection to Postgres, and what holds on every one of ours.

Whatever the defaults of the server, the database or the role are: values are read and written in
one form, transactions are isolated in one way, and whoever is frozen or gone does not keep what
it holds.
"""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Generator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import psycopg

NAME = "club"
"""What our connections are called in `pg_stat_activity`."""

ASLEEP = 8
"""Seconds that a transaction may wait for whoever began it; then others have what it held."""

HOLDING = {"idle_session_timeout": f"{ASLEEP}s"}
"""How a connection differs that holds a lock beyond its transactions."""

_HELD: Mapping[str, str] = {
    # How values are written.
    "timezone": "UTC",
    "DateStyle": "ISO,MDY",
    "IntervalStyle": "postgres",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "standard_conforming_strings": "on",
    # How statements are understood and run. Whether writes are taken is not said here: a server
    # that takes none by default is one that somebody has closed, or replaced.
    "search_path": "public",
    "row_security": "on",
    "jit": "off",
    "default_transaction_isolation": "read committed",
    "default_transaction_deferrable": "off",
    # How long anything may last.
    "statement_timeout": "60s",
    "lock_timeout": "30s",
    "idle_in_transaction_session_timeout": f"{ASLEEP}s",
    "idle_session_timeout": "0",
    # How soon the server finds out that we are gone, in the middle of a statement, too.
    "client_connection_check_interval": "5s",
    "tcp_keepalives_idle": "4",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "10s",
}

# How soon we find out that the server is gone.
_WIRE: Mapping[str, Any] = {
    "keepalives_idle": 4,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}


def parameters(longest_wait: float, settings: Mapping[str, str]) -> dict[str, Any]:
    """What a connection is made with; `settings` are those of the server that differ for it."""
    held = {**_HELD, **settings}
    options = " ".join(
        f"-c {name}={value.replace(' ', chr(92) + ' ')}" for name, value in held.items()
    )
    return {
        "connect_timeout": max(1, int(longest_wait)),
        "options": options,
        "client_encoding": "UTF8",
        "application_name": NAME,
        **_WIRE,
    }


class _Pipeline(psycopg.AsyncPipeline):
    """A pipeline that ends with its Sync.

    psycopg sends a Flush after it, for answers that are there in any case. Postgres stops its timer
    for idle transactions at the Flush, and a process that is frozen then keeps its locks for ever.
    """

    def _exit_gen(self) -> Generator[Any, Any, None]:
        try:
            self._enqueue_sync()
            yield from self._communicate_gen()
        finally:
            yield from self._fetch_gen(flush=False)


class Connection(psycopg.AsyncConnection[Any]):
    """A connection that knows which server it leads to."""

    era = 0
    """That of `Postgres` in which it was made."""

    @asynccontextmanager
    async def pipeline(self) -> AsyncIterator[psycopg.AsyncPipeline]:
        """As psycopg's, but Postgres goes on counting how long a transaction is idle after it."""
        async with self.lock:
            if self._pipeline is None:
                self._pipeline = _Pipeline(self)
        async with super().pipeline() as pipeline:
            yield pipeline

    @property
    def takes_writes(self) -> bool:
        """Whether the server takes writes, as it said with its last answer."""
        return not self.is_standby and not self._is_on(b"default_transaction_read_only")

    @property
    def is_standby(self) -> bool:
        """Whether the server follows another one, as it said with its last answer."""
        return self._is_on(b"in_hot_standby")

    def _is_on(self, name: bytes) -> bool:
        return self.pgconn.parameter_status(name) == b"on"

    def hang_up(self) -> None:
        """Let whoever waits for an answer find the connection lost, now.

        Closing it would leave them waiting, as nobody looks at a closed socket any more.
        """
        if not self.closed:
            with suppress(OSError), socket.socket(fileno=os.dup(self.fileno())) as wire:
                wire.shutdown(socket.SHUT_RDWR)
