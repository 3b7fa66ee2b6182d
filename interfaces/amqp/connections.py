"""Connections to RabbitMQ: waited for only so long, and closed only so long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.connection import make_url
from aio_pika.exceptions import AMQPException

LONGEST_WAIT = 10.0
"""Seconds to wait for a connection."""

LONGEST_GOODBYE = 2.0
"""Seconds to wait for RabbitMQ to let a connection go: with a full disk, it never does."""

LOST = (AMQPException, OSError, RuntimeError)
"""What it looks like when a connection has ended; the client raises a bare RuntimeError, too."""


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[AbstractConnection]:
    """A connection for as long as the block lasts; raises one of LOST."""
    # One that fails is closed, too: it would ask for that when it is collected, in any thread.
    connection = aio_pika.Connection(make_url(url))
    try:
        await connection.connect(timeout=LONGEST_WAIT)
        yield connection
    finally:
        with suppress(*LOST):
            async with asyncio.timeout(LONGEST_GOODBYE):
                await connection.close()


async def confirming_channel(connection: AbstractConnection) -> AbstractChannel:
    """A channel on which everything published is confirmed, and nothing gets lost unseen."""
    return await connection.channel(publisher_confirms=True, on_return_raises=True)
