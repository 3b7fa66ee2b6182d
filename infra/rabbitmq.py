"""What the club knows of its RabbitMQ: whether it is there, and what is parked in it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import aio_pika
from aio_pika.abc import AbstractConnection
from aio_pika.exceptions import AMQPException

PARKING_QUEUE = "club.parking"

LONGEST_WAIT = 2.0
"""Seconds to wait for it."""

UNREACHABLE = (AMQPException, ConnectionError, TimeoutError, OSError, RuntimeError)
"""What it looks like when it is not there; the client raises a bare RuntimeError, too."""


class RabbitMQ:
    """Looks at the parking queue, over a connection that is made when it is first needed."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: AbstractConnection | None = None
        self._one_at_a_time = asyncio.Lock()

    async def parked(self) -> int:
        """How many messages are parked.

        Raises one of UNREACHABLE where RabbitMQ does not answer.
        """
        async with asyncio.timeout(LONGEST_WAIT), self._one_at_a_time:
            if self._connection is not None:
                with suppress(*UNREACHABLE):
                    return await _parked(self._connection)
                await self.close()  # it was lost since the last look
            self._connection = await aio_pika.connect(self._url)
            return await _parked(self._connection)

    async def close(self) -> None:
        """Let go of the connection."""
        lost, self._connection = self._connection, None
        if lost is not None:
            with suppress(*UNREACHABLE):
                await lost.close()


async def _parked(connection: AbstractConnection) -> int:
    async with await connection.channel() as channel:
        queue = await channel.declare_queue(
            PARKING_QUEUE, durable=True, arguments={"x-queue-type": "classic"}
        )
        return queue.declaration_result.message_count or 0


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
