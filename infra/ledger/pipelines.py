"""Sending many statements before the answer to the first has come."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.generators import send


async def sent(connection: psycopg.AsyncConnection[Any]) -> None:
    """Wait until everything that was asked in a pipeline is with the server.

    To be awaited before a pipeline waits for answers (its end, and a commit in it). What does not
    fit into the socket at once psycopg would keep to itself, and both sides would wait for ever:
    the server for the rest of a statement, under whatever locks it holds.
    """
    await connection.wait(send(connection.pgconn))
