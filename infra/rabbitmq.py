"""What the club knows of its RabbitMQ: whether it is there, and what waits in it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass

import aio_pika
from aio_pika.abc import AbstractConnection
from aio_pika.connection import make_url
from aio_pika.exceptions import AMQPException, ChannelNotFoundEntity

PARKING_QUEUE = "club.parking"
INTAKES = ("club.commands", "payment_queue")

LONGEST_WAIT = 2.0
"""Seconds to wait for it."""

UNREACHABLE = (AMQPException, ConnectionError, TimeoutError, OSError, RuntimeError)
"""What it looks like when it is not there; the client raises a bare RuntimeError, too."""


@dataclass(frozen=True, slots=True)
class Queues:
    """How the club's queues are doing."""

    parked: int
    """Messages that a person should look at."""
    waiting: int
    """Messages that came in, and that no consumer has in hand."""
    unserved: tuple[str, ...]
    """Names of the queues that nobody consumes."""


class RabbitMQ:
    """Looks at the club's queues, over a connection that is made when it is first needed."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: AbstractConnection | None = None
        self._one_at_a_time = asyncio.Lock()

    async def queues(self) -> Queues:
        """How the club's queues are doing.

        Raises one of UNREACHABLE where RabbitMQ does not answer.
        """
        async with asyncio.timeout(LONGEST_WAIT), self._one_at_a_time:
            if self._connection is not None:
                with suppress(*UNREACHABLE):
                    return await _look(self._connection)
                await self.close()  # it was lost since the last look
            self._connection = await _connected(self._url)
            return await _look(self._connection)

    async def close(self) -> None:
        """Let go of the connection."""
        lost, self._connection = self._connection, None
        if lost is not None:
            with suppress(*UNREACHABLE):
                await lost.close()


async def _connected(url: str) -> AbstractConnection:
    """A connection; one that fails is closed, or it would ask for that when it is collected."""
    connection = aio_pika.Connection(make_url(url))
    async with AsyncExitStack() as opened:
        opened.push_async_callback(connection.close)
        await connection.connect()
        opened.pop_all()
    return connection


async def _look(connection: AbstractConnection) -> Queues:
    found = {name: await _found(connection, name) for name in (PARKING_QUEUE, *INTAKES)}
    parked, _ = found.pop(PARKING_QUEUE)
    return Queues(
        parked,
        sum(waiting for waiting, _ in found.values()),
        tuple(name for name, (_, consumers) in found.items() if not consumers),
    )


async def _found(connection: AbstractConnection, name: str) -> tuple[int, int]:
    """How many messages wait in a queue, and how many consumers it has; a missing one has none."""
    with suppress(ChannelNotFoundEntity):
        async with await connection.channel() as channel:
            queue = await channel.declare_queue(name, passive=True)
            found = queue.declaration_result
            return found.message_count or 0, found.consumer_count or 0
    return 0, 0


@asynccontextmanager
async def open_rabbitmq(url: str | None) -> AsyncIterator[RabbitMQ | None]:
    """The RabbitMQ of this URL, where there is one; it need not be there yet."""
    if url is None:
        yield None
        return
    rabbitmq = RabbitMQ(url)
    try:
        yield rabbitmq
    finally:
        await rabbitmq.close()
