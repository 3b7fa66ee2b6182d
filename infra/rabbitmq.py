"""What the club knows of its RabbitMQ: whether it is there, and what waits in it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import NamedTuple

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.connection import make_url
from aio_pika.exceptions import AMQPException, ChannelClosed, ChannelNotFoundEntity

PARKING_QUEUE = "club.parking"
INTAKES = ("club.commands", "payment_queue")

LONGEST_WAIT = 2.0
"""Seconds for which whoever asks waits."""

LONGEST_LOOK = 10.0
"""Seconds after which a look is given up, and the next one is over another connection."""

HEARTBEAT = 10
"""Seconds between signs of life, where the URL says nothing else."""

NOBODY = "club.nobody"
"""A routing key of no queue: what is sent there is thrown away."""

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
    blocked: bool = False
    """Whether no message is taken, as RabbitMQ is short of memory or disk."""


class RabbitMQ:
    """Looks at the club's queues, over connections that are made when they are first needed.

    One look is under way at a time, and all who ask meanwhile share it; so a RabbitMQ that does
    not answer gets neither a question nor a connection more for each who asks.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._looking: asyncio.Future[Queues] | None = None
        self._lines: _Lines | None = None

    async def queues(self) -> Queues:
        """How the club's queues are doing.

        Raises one of UNREACHABLE where RabbitMQ does not answer.
        """
        look = self._looking
        if look is None or look.done():
            look = self._looking = asyncio.ensure_future(self._look())
            look.add_done_callback(_is_heard)
        done, _ = await asyncio.wait({look}, timeout=LONGEST_WAIT)
        if not done:
            raise TimeoutError("RabbitMQ does not answer")
        if look.cancelled():  # as the client does with what waits when its connection ends
            raise ConnectionError("the connection to RabbitMQ has ended")
        return look.result()

    async def close(self) -> None:
        """Let go of the connections."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        await self._hang_up()

    async def _look(self) -> Queues:
        try:
            async with asyncio.timeout(LONGEST_LOOK):
                if self._lines is not None:
                    with suppress(*UNREACHABLE):
                        return await _seen(self._lines)
                    await self._hang_up()  # it was lost since the last look
                self._lines = await _connected(self._url)
                return await _seen(self._lines)
        except BaseException:
            await self._hang_up()
            raise

    async def _hang_up(self) -> None:
        lost, self._lines = self._lines, None
        if lost is not None:
            await lost.close()


def _is_heard(look: asyncio.Future[Queues]) -> None:
    """Those who asked may all have waited long enough before it failed."""
    if not look.cancelled():
        look.exception()


class _Lines(NamedTuple):
    """Two connections: RabbitMQ reads nothing more from one over which somebody publishes."""

    looking: AbstractConnection
    asking: AbstractConnection
    channel: AbstractChannel
    """Of the second one."""

    async def close(self) -> None:
        """End both, without waiting for whoever does not answer."""
        for connection in (self.looking, self.asking):
            with suppress(*UNREACHABLE):
                async with asyncio.timeout(LONGEST_WAIT):
                    await connection.close()


async def _connected(url: str) -> _Lines:
    """Both; one that fails is closed, or it would ask for that when it is collected."""
    given = make_url(url)
    if "heartbeat" not in given.query:
        given = given.update_query(heartbeat=HEARTBEAT)
    looking, asking = aio_pika.Connection(given), aio_pika.Connection(given)
    async with AsyncExitStack() as opened:
        for connection in (looking, asking):
            opened.push_async_callback(connection.close)
            await connection.connect()
        lines = _Lines(looking, asking, await asking.channel())
        opened.pop_all()
    return lines


async def _seen(lines: _Lines) -> Queues:
    found = {name: await _found(lines.looking, name) for name in (PARKING_QUEUE, *INTAKES)}
    parked, _ = found.pop(PARKING_QUEUE)
    return Queues(
        parked,
        sum(waiting for waiting, _ in found.values()),
        tuple(name for name, (_, consumers) in found.items() if not consumers),
        await _blocked(lines),
    )


async def _blocked(lines: _Lines) -> bool:
    """Whether RabbitMQ takes no messages; it says so to those only who publish one."""
    if await _is_ready(lines.asking):
        # An account that may not publish there is told nothing.
        with suppress(ChannelClosed):
            if not lines.channel.is_closed:
                await lines.channel.default_exchange.publish(aio_pika.Message(b""), NOBODY)
    return not await _is_ready(lines.asking)


async def _is_ready(connection: AbstractConnection) -> bool:
    assert connection.transport is not None  # noqa: S101 - it is connected
    try:
        async with asyncio.timeout(0):
            await connection.transport.ready()  # which is at once, or not before that ends
    except TimeoutError:
        return False
    return True


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
