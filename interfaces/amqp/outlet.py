"""What we publish goes over a connection of its own.

While RabbitMQ is short of memory or disk it reads nothing more from whoever publishes, and says so
to nobody else. So what is consumed over other connections goes on, and whether RabbitMQ takes
messages is asked again and again with a message for nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from aio_pika import Message
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import ChannelClosed

from interfaces.amqp.connections import (
    Ended,
    confirming_channel,
    connected,
    is_blocked,
    takes_messages,
)

NOBODY = "club.nobody"
"""A routing key of no queue: what is sent there is thrown away."""

ASKED_AGAIN = 2.0
"""Seconds after which RabbitMQ is asked again."""

LONGEST_ANSWER = 5.0
"""Seconds after which no answer means something."""

BLOCKED = "RabbitMQ takes no messages: it is short of memory or disk"
SILENT = "RabbitMQ does not answer"


class Outlet:
    """A connection to publish over, and whether RabbitMQ takes anything from it."""

    def __init__(
        self, connection: AbstractConnection, channel: AbstractChannel, asking: AbstractChannel
    ) -> None:
        self.channel = channel
        self.why: str | None = None
        """Why it takes nothing, where it does not."""
        self._connection = connection
        self._asking = asking

    async def publish(self, message: Message, queue: str) -> None:
        """Put it in a queue, and wait until RabbitMQ has it; raises one of LOST."""
        await self.takes_messages()
        await self.channel.default_exchange.publish(message, routing_key=queue, mandatory=True)

    async def takes_messages(self) -> None:
        """Return once RabbitMQ takes some: what is written before that lies in its sockets."""
        await takes_messages(self._connection)

    async def watch(self) -> None:
        """See whether RabbitMQ takes messages, until the connection ends; raises one of LOST."""
        while True:
            asked = asyncio.ensure_future(self._ask())
            try:
                while not (await asyncio.wait({asked}, timeout=LONGEST_ANSWER))[0]:
                    self.why = BLOCKED if await is_blocked(self._connection) else SILENT
            finally:
                asked.cancel()
            if asked.cancelled():  # as the client does with what waits when its connection ends
                raise Ended(Ended.__doc__)
            asked.result()
            self.why = None
            await asyncio.sleep(ASKED_AGAIN)

    async def _ask(self) -> None:
        await self.takes_messages()
        # An account that may not publish there hears of it when it publishes something else.
        with suppress(ChannelClosed):
            if not self._asking.is_closed:
                await self._asking.default_exchange.publish(Message(b""), NOBODY, mandatory=False)
        await self.takes_messages()


@asynccontextmanager
async def open_outlet(url: str) -> AsyncIterator[Outlet]:
    """An outlet of its own to this RabbitMQ; raises one of LOST."""
    async with connected(url) as connection:
        channel = await confirming_channel(connection)
        yield Outlet(connection, channel, await confirming_channel(connection))
