"""Taking messages from a queue: each is done, tried again later, or parked with the reason.

A message is acknowledged only after what became of it is durable: its events are committed, its
reply is confirmed, or it is confirmed to be in another queue. So whatever is killed, nothing is
lost; what is delivered twice is known by its key.
"""

from __future__ import annotations

import asyncio
import secrets
import struct
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog
from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from aio_pika.exceptions import AMQPException
from pamqp import encode
from pamqp.commands import Basic
from pamqp.header import ContentHeader

from domain.aggregate import time_text
from interfaces.amqp.cloudevents import Unusable
from interfaces.amqp.topology import DELAYS, PARKING_QUEUE, retry_queue

PREFETCH = 200
"""Messages in hand at a time; with more, the next wait in the queue."""

LARGEST_BODY = 1_000_000
"""Bytes; a longer message is parked unread."""

LARGEST_HEADERS = 60_000
"""Bytes; RabbitMQ takes twice that, and ours have to fit beside them."""

LONGEST_DETAIL = 1000
"""Characters of what is said about a parked message."""

MOST_FAULTS = len(DELAYS)
"""How often a message may fail for a reason that we do not know."""

ATTEMPT = "club-attempt"
REASON = "club-reason"
DETAIL = "club-detail"
ORIGIN = "club-queue"
PARKED_AT = "club-parked-at"
PARKED_ID = "club-parked-id"
REPLAYED = "club-replayed"

logger = structlog.get_logger("amqp")


LOST = (AMQPException, ConnectionError, RuntimeError)
"""What it looks like when the channel has ended; the client raises a bare RuntimeError, too."""


class Later(Exception):
    """The message cannot be handled just now."""


Handler = Callable[[AbstractIncomingMessage], Awaitable[None]]
"""Handles one message; raises Later or Unusable."""


@dataclass(slots=True)
class Intake:
    """One queue, and what handles its messages."""

    queue: str
    handle: Handler
    prefetch: int = PREFETCH

    async def run(self, channel: AbstractChannel, closing: asyncio.Event) -> None:
        """Take messages until `closing`; then finish what is in hand.

        Raises ConnectionError where the channel or the queue is gone before that.
        """
        bear_unreadable_headers()
        await channel.set_qos(prefetch_count=self.prefetch)
        queue = await channel.get_queue(self.queue)
        in_hand: set[asyncio.Task[None]] = set()

        async def take(message: AbstractIncomingMessage) -> None:
            task = asyncio.create_task(self._settle(message, channel))
            in_hand.add(task)
            task.add_done_callback(in_hand.discard)

        gone = await _end_of(channel)
        tag = await queue.consume(take)
        ending = [asyncio.create_task(event.wait()) for event in (closing, gone)]
        try:
            await asyncio.wait(ending, return_when=asyncio.FIRST_COMPLETED)
            if not closing.is_set():
                raise ConnectionError(f"{self.queue} is not there any more")
            if not channel.is_closed:
                await queue.cancel(tag)
        finally:
            for task in ending:
                task.cancel()
            if in_hand:
                await asyncio.wait(in_hand)

    async def _settle(self, message: AbstractIncomingMessage, channel: AbstractChannel) -> None:
        try:
            try:
                if len(message.body) > LARGEST_BODY:
                    raise Unusable("too-large", f"A message has at most {LARGEST_BODY} bytes.")
                await self.handle(message)
            except Later as later:
                await self._try_later(message, channel, str(later) or type(later).__name__)
            except Unusable as fault:
                await park(message, channel, self.queue, fault.reason, fault.detail)
            except Exception as fault:  # noqa: BLE001 - whatever it is, the message must not be lost
                await self._after_fault(message, channel, fault)
            await message.ack()
        except LOST as lost:
            logger.warning("amqp.not-settled", queue=self.queue, reason=str(lost))
            # With the channel, all that is not acknowledged goes back, to be delivered again.
            with suppress(*LOST):
                await channel.close()

    async def _try_later(
        self, message: AbstractIncomingMessage, channel: AbstractChannel, why: str
    ) -> None:
        attempt = attempts(message) + 1
        logger.warning("amqp.later", queue=self.queue, attempt=attempt, reason=why)
        again = copy_of(message, {**_carried(message.headers), ATTEMPT: attempt})
        await _publish(channel, again, retry_queue(self.queue, attempt))

    async def _after_fault(
        self, message: AbstractIncomingMessage, channel: AbstractChannel, fault: Exception
    ) -> None:
        logger.error("amqp.fault", queue=self.queue, exc_info=fault)
        if attempts(message) < MOST_FAULTS:
            await self._try_later(message, channel, repr(fault))
        else:
            await park(message, channel, self.queue, "fault", "Something went wrong here.")


async def _end_of(channel: AbstractChannel) -> asyncio.Event:
    """Set once the channel has ended, or the queue that it consumes."""
    gone = asyncio.Event()
    underlay = await channel.get_underlay_channel()
    underlay.on_consumer_cancel_callbacks.add(lambda _: gone.set())
    channel.close_callbacks.add(lambda *_: gone.set())
    return gone


def attempts(message: AbstractIncomingMessage) -> int:
    """How often it was tried before; only our own retry queues say so."""
    count = message.headers.get(ATTEMPT, 0)
    return count if isinstance(count, int) and count > 0 else 0


async def park(
    message: AbstractIncomingMessage,
    channel: AbstractChannel,
    queue: str,
    reason: str,
    detail: str,
) -> None:
    """Keep the message, as it is, where a person can look at it."""
    logger.warning("amqp.parked", queue=queue, reason=reason, detail=detail)
    headers = {
        **_carried(message.headers),
        REASON: reason,
        DETAIL: detail[:LONGEST_DETAIL],
        ORIGIN: queue,
        PARKED_AT: time_text(datetime.now(UTC)),
        PARKED_ID: secrets.token_hex(4),
    }
    await _publish(channel, copy_of(message, headers), PARKING_QUEUE)


def copy_of(message: AbstractIncomingMessage, headers: Mapping[str, Any]) -> Message:
    """The message as it is, but for its headers."""
    return Message(
        message.body,
        headers=dict(headers),
        content_type=message.content_type,
        content_encoding=message.content_encoding,
        delivery_mode=DeliveryMode.PERSISTENT,
        correlation_id=message.correlation_id,
        reply_to=message.reply_to,
        message_id=message.message_id,
        timestamp=message.timestamp,
        type=message.type,
        app_id=message.app_id,
    )


def _carried(headers: Mapping[str, Any]) -> dict[str, Any]:
    """The headers that can be sent on: RabbitMQ hangs up on a sender of longer ones."""
    sizes: dict[str, int] = {}
    for name, value in headers.items():
        # The client reads forms that it cannot write.
        with suppress(TypeError, ValueError, OverflowError, struct.error):
            sizes[name] = len(encode.field_table({name: value}))
    carried: dict[str, Any] = {}
    room = LARGEST_HEADERS
    for name in sorted(sizes, key=sizes.__getitem__):
        room -= sizes[name]
        if room >= 0:
            carried[name] = headers[name]
    return carried


def bear_unreadable_headers() -> None:
    """Let a message whose headers cannot be read come without them.

    Left to itself the client drops its connection at such a message, which is then delivered
    again, and again.
    """
    if ContentHeader.unmarshal is not _read_header:
        ContentHeader.unmarshal = _read_header  # type: ignore[method-assign, assignment]


def _read_header(header: ContentHeader, data: bytes) -> None:
    try:
        _READ_HEADER(header, data)
    except (KeyError, OverflowError, RecursionError, TypeError, ValueError, struct.error):
        header.properties = Basic.Properties()


_READ_HEADER = ContentHeader.unmarshal


async def _publish(channel: AbstractChannel, message: Message, queue: str) -> None:
    """Put it in a queue, and wait until RabbitMQ has it."""
    await channel.default_exchange.publish(message, routing_key=queue, mandatory=True)
