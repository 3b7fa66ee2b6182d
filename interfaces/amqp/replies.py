"""Replies, apart from what consumes: RabbitMQ ends the connection on which it refuses one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NamedTuple

from aio_pika import Message
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import PublishError

from interfaces.amqp.connections import LOST, confirming_channel, connected, takes_messages


class ReplyRefused(Exception):
    """RabbitMQ does not take this reply."""


class NobodyWaits(Exception):
    """The queue for the reply is gone."""


class Replies:
    """Sends replies; a connection is made when the first is sent."""

    def __init__(self, url: str, opened: AsyncExitStack) -> None:
        self._url = url
        self._opened = opened
        self._shared: _Line | None = None
        self._opening = asyncio.Lock()

    async def send(self, reply: Message, queue: str) -> None:
        """Return once RabbitMQ has it; raises NobodyWaits or ReplyRefused.

        While RabbitMQ takes no messages, nothing is written: what lies in its sockets would go out
        beside what is sent again.
        """
        try:
            await (await self._line()).send(reply, queue)
        except LOST:
            # It may have ended for somebody else's reply: once more, with nobody beside.
            await self._alone(reply, queue)

    async def _alone(self, reply: Message, queue: str) -> None:
        try:
            async with connected(self._url) as connection:
                line = _Line(connection, await confirming_channel(connection))
                await line.send(reply, queue)
        except LOST as refused:
            raise ReplyRefused(str(refused) or type(refused).__name__) from refused

    async def _line(self) -> _Line:
        async with self._opening:
            if self._shared is None or self._shared.channel.is_closed:
                await self._opened.aclose()
                connection = await self._opened.enter_async_context(connected(self._url))
                self._shared = _Line(connection, await confirming_channel(connection))
            return self._shared


class _Line(NamedTuple):
    """One connection for replies."""

    connection: AbstractConnection
    channel: AbstractChannel

    async def send(self, reply: Message, queue: str) -> None:
        """Return once RabbitMQ has it; raises NobodyWaits."""
        await takes_messages(self.connection)
        try:
            await self.channel.default_exchange.publish(reply, routing_key=queue, mandatory=True)
        except PublishError as returned:
            raise NobodyWaits from returned


@asynccontextmanager
async def open_replies(url: str) -> AsyncIterator[Replies]:
    """Replies over this RabbitMQ."""
    async with AsyncExitStack() as opened:
        yield Replies(url, opened)
