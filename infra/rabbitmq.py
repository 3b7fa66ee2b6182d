"""What the club knows of its RabbitMQ: whether it is there, and what is parked in it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aio_pika
from aio_pika.abc import AbstractConnection
from aio_pika.exceptions import AMQPException

PARKING_QUEUE = "club.parking"

LONGEST_WAIT = 2.0
"""Seconds to wait for it."""


class RabbitMQ:
    """Looks at the parking queue, over a connection that is made when it is first needed."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: AbstractConnection | None = None
        self._one_at_a_time = asyncio.Lock()

    async def parked(self) -> int:
        """How many messages are parked.

        Raises ConnectionError, TimeoutError or AMQPException where RabbitMQ does not answer.
        """
        async with self._one_at_a_time, asyncio.timeout(LONGEST_WAIT):
            if self._connection is None or self._connection.is_closed:
                self._connection = await aio_pika.connect(self._url)
            async with await self._connection.channel() as channel:
                queue = await channel.declare_queue(
                    PARKING_QUEUE, durable=True, arguments={"x-queue-type": "classic"}
                )
                return queue.declaration_result.message_count or 0

    async def close(self) -> None:
        """Let go of the connection."""
        if self._connection is not None:
            await self._connection.close()


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


UNREACHABLE = (AMQPException, ConnectionError, TimeoutError, OSError)
"""What it looks like when it is not there."""
