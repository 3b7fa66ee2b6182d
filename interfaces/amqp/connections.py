"""Connections to RabbitMQ: waited for only so long, and closed only so long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection, UnderlayConnection
from aio_pika.connection import make_url
from aio_pika.exceptions import AMQPException

LONGEST_WAIT = 10.0
"""Seconds to wait for a connection."""

LONGEST_GOODBYE = 2.0
"""Seconds to wait for RabbitMQ to let a connection go: with a full disk, it never does."""

HEARTBEAT = 10
"""Seconds between signs of life, where the URL says nothing else.

After some three of them without one, whoever is at the other end counts as gone.
"""

LOST = (AMQPException, OSError, RuntimeError)
"""What it looks like when a connection has ended; the client raises a bare RuntimeError, too."""


class Ended(ConnectionError):
    """The connection to RabbitMQ has ended."""


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[AbstractConnection]:
    """A connection for as long as the block lasts; raises one of LOST."""
    # One that fails is closed, too: it would ask for that when it is collected, in any thread.
    connection = aio_pika.Connection(make_url(with_heartbeat(url)))
    try:
        await connection.connect(timeout=LONGEST_WAIT)
        yield connection
    finally:
        with suppress(*LOST):
            async with asyncio.timeout(LONGEST_GOODBYE):
                await connection.close()


def with_heartbeat(url: str) -> str:
    """The URL, with our heartbeat where it names none."""
    given = make_url(url)
    return url if "heartbeat" in given.query else str(given.update_query(heartbeat=HEARTBEAT))


async def confirming_channel(connection: AbstractConnection) -> AbstractChannel:
    """A channel on which everything published is confirmed, and nothing gets lost unseen."""
    return await connection.channel(publisher_confirms=True, on_return_raises=True)


async def is_blocked(connection: AbstractConnection) -> bool:
    """Whether RabbitMQ reads nothing more from this connection, as it is short of something.

    It tells only those who have published since; the client goes on writing all the same.
    """
    try:
        async with asyncio.timeout(0):
            await _transport(connection).ready()  # which is at once, or not before that ends
    except TimeoutError:
        return True
    return False


async def takes_messages(connection: AbstractConnection) -> None:
    """Return once RabbitMQ reads from this connection; raises Ended where it has ended."""
    if not await is_blocked(connection):
        return
    transport = _transport(connection)
    ready, ended = asyncio.ensure_future(transport.ready()), transport.connection.closing
    try:
        await asyncio.wait({ready, ended}, return_when=asyncio.FIRST_COMPLETED)
        if ended.done():
            raise Ended(Ended.__doc__)
    finally:
        ready.cancel()
        ended.cancel()


def _transport(connection: AbstractConnection) -> UnderlayConnection:
    # One that was reset under our hands keeps its transport, which would be ready for ever.
    if connection.transport is None or connection.transport.connection.is_closed:
        raise Ended(Ended.__doc__)
    return connection.transport
