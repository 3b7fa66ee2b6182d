"""Taking messages from a queue: each is done, tried again later, or parked with the reason.

While something is away that every message needs, those in hand wait there, and all others in their
queue. A message that has to wait on its own account goes to another queue, out of the way: that is
one that waits while others are done.

A message is acknowledged only after what became of it is durable: its events are committed, its
reply is confirmed, or it is confirmed to be in another queue. So whatever is killed, nothing is
lost; what is delivered twice is known by its key.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain, repeat
from typing import Any, Self

import structlog
from aio_pika import Message
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from aio_pika.exceptions import DeliveryError, PublishError

from domain.aggregate import time_text
from interfaces.amqp.cloudevents import Unusable
from interfaces.amqp.connections import LOST, Ended
from interfaces.amqp.envelope import (
    ATTEMPT,
    DETAIL,
    ORIGIN,
    PARKED_AT,
    PARKED_ID,
    REASON,
    attempts,
    bear_the_unreadable,
    carried_on,
    copy_of,
    deliveries,
)
from interfaces.amqp.topology import DELAYS, PARKING_QUEUE, retry_queue

PREFETCH = 200
"""Messages in hand at a time; with more, the next wait in the queue."""

LARGEST_BODY = 1_000_000
"""Bytes; a longer message is parked unread."""

LONGEST_DETAIL = 1000
"""Characters of what is said about a parked message."""

PAUSES = (0.5, 1.0, 2.0, 5.0)
"""Seconds between attempts while what every message needs is away; the last again and again."""

STUCK = 30.0
"""Seconds after which one attempt at a message should have come to something."""

LONGEST_IN_HAND = 600.0
"""Seconds for which a message waits in hand; RabbitMQ takes it back after half an hour."""

LAST_WORDS = 10.0
"""Seconds in which what is in hand may come to its end, once no more is taken."""

MOST_DELIVERIES = 100
"""How often a message may be given back, or be in hand when a consumer dies."""

MOST_FAULTS = len(DELAYS)
"""How often a message may fail for a reason that we do not know."""

logger = structlog.get_logger("amqp")


class Unavailable(Exception):
    """What every message needs is away, or has too much to do."""

    @classmethod
    def of(cls, away: Exception) -> Self:
        """The sentence that this kind of fault is, without what the one at hand may name."""
        return cls((type(away).__doc__ or "").partition("\n")[0])


class Later(Exception):
    """This message cannot be handled just now; others can."""


Handler = Callable[[AbstractIncomingMessage], Awaitable[None]]
"""Handles one message; raises Unavailable, Later or Unusable."""

Publish = Callable[[Message, str], Awaitable[None]]
"""Puts a message in a queue, and returns when RabbitMQ has it; raises one of LOST."""


@dataclass(slots=True)
class Intake:
    """One queue, and what handles its messages."""

    queue: str
    handle: Handler
    prefetch: int = PREFETCH
    _consumes: bool = False
    _tried: dict[int | None, float] = field(default_factory=dict)
    """Since when each message is being tried, by its tag."""
    _waits_for: str | None = None
    _done: int = 0
    _waiting: int = 0

    @property
    def why(self) -> str | None:
        """Why it does not go on; None where it does."""
        if not self._consumes:
            return f"nothing is taken from {self.queue} yet"
        oldest = min(self._tried.values(), default=None)
        if oldest is not None and time.monotonic() - oldest > STUCK:
            return f"a message of {self.queue} has been in hand for {STUCK:.0f} seconds"
        return self._waits_for

    async def run(self, channel: AbstractChannel, publish: Publish, closing: asyncio.Event) -> None:
        """Take messages until `closing`; then finish what is in hand, or give it back.

        Nothing is published over the channel, so RabbitMQ goes on reading what comes over it.
        Raises Ended where the channel or the queue is gone before that.
        """
        bear_the_unreadable()
        await channel.set_qos(prefetch_count=self.prefetch)
        queue = await channel.get_queue(self.queue)
        ending = asyncio.Event()
        async with _in_hand(ending) as tasks:

            async def take(message: AbstractIncomingMessage) -> None:
                if ending.is_set():
                    return  # it goes back with the channel
                hand = Hand(message, channel, publish, ending)
                task = asyncio.create_task(self._settle(hand))
                tasks.add(task)
                task.add_done_callback(tasks.discard)

            gone = await _end_of(channel)
            tag = await queue.consume(take)
            self._consumes = True
            await _first_of(closing, gone)
            if not closing.is_set():
                raise Ended(f"{self.queue} cannot be consumed any more")
            with suppress(*LOST):
                async with asyncio.timeout(LAST_WORDS):
                    await queue.cancel(tag)
                    ending.set()
                    await _all_done(tasks)

    async def _settle(self, hand: Hand) -> None:
        message = hand.message
        try:
            if await self._finds_its_end(hand):
                await message.ack()
            else:
                await message.nack()
        except LOST as lost:
            logger.warning("amqp.not-settled", queue=self.queue, reason=str(lost))
            # With the channel, all that is not acknowledged goes back, to be delivered again.
            with suppress(*LOST):
                await hand.channel.close()
        except Exception:  # nothing may stay in hand for ever
            logger.exception("amqp.fault", queue=self.queue)
            await message.nack()

    async def _finds_its_end(self, hand: Hand) -> bool:
        """Once it is done, or durable elsewhere; False where it has to be given back."""
        message = hand.message
        try:
            if deliveries(message) > MOST_DELIVERIES:
                raise Unusable("given-back", f"It was given back {deliveries(message)} times.")
            if len(message.body) > LARGEST_BODY:
                raise Unusable("too-large", f"A message has at most {LARGEST_BODY} bytes.")
            return await self._is_done(hand)
        except Later as later:
            return await self._try_later(hand, str(later) or type(later).__name__)
        except Unusable as fault:
            return await self._park(hand, fault.reason, fault.detail)
        except Exception as fault:  # noqa: BLE001 - whatever it is, the message must not be lost
            return await self._after_fault(hand, fault)

    async def _is_done(self, hand: Hand) -> bool:
        deadline = time.monotonic() + LONGEST_IN_HAND
        pauses = chain(PAUSES, repeat(PAUSES[-1]))
        while not hand.ending.is_set():
            others_done = self._done
            try:
                await self._try(hand.message)
            except Unavailable as away:
                if self._done > others_done or time.monotonic() > deadline:
                    raise Later(str(away)) from away
                await self._wait(next(pauses), hand.ending, str(away))
            else:
                self._done += 1
                return True
        return False

    async def _try(self, message: AbstractIncomingMessage) -> None:
        tag = message.delivery_tag
        self._tried[tag] = time.monotonic()
        try:
            await self.handle(message)
        except Unavailable:
            raise
        except Exception:
            self._waits_for = None  # whatever it is, what every message needs is there
            raise
        else:
            self._waits_for = None
        finally:
            del self._tried[tag]

    async def _wait(self, seconds: float, ending: asyncio.Event, why: str) -> None:
        if not self._waiting:
            logger.warning("amqp.waiting", queue=self.queue, reason=why)
        self._waits_for = why
        self._waiting += 1
        await is_set_within(seconds, ending)
        self._waiting -= 1

    async def _try_later(self, hand: Hand, why: str) -> bool:
        attempt = attempts(hand.message) + 1
        logger.warning("amqp.later", queue=self.queue, attempt=attempt, reason=why)
        headers = {**carried_on(hand.message.headers), ATTEMPT: attempt}
        return await self._is_in(retry_queue(self.queue, attempt), hand, headers)

    async def _after_fault(self, hand: Hand, fault: Exception) -> bool:
        logger.error("amqp.fault", queue=self.queue, exc_info=fault)
        if attempts(hand.message) < MOST_FAULTS:
            return await self._try_later(hand, repr(fault))
        return await self._park(hand, "fault", "Something went wrong here.")

    async def _park(self, hand: Hand, reason: str, detail: str) -> bool:
        """Keep the message, as it is, where a person can look at it."""
        logger.warning("amqp.parked", queue=self.queue, reason=reason, detail=detail)
        headers = {
            **carried_on(hand.message.headers),
            REASON: reason,
            DETAIL: detail[:LONGEST_DETAIL],
            ORIGIN: self.queue,
            PARKED_AT: time_text(datetime.now(UTC)),
            PARKED_ID: secrets.token_hex(4),
        }
        return await self._is_in(PARKING_QUEUE, hand, headers)

    async def _is_in(self, queue: str, hand: Hand, headers: Mapping[str, Any]) -> bool:
        """Once another queue has a copy, however long that is full; False when all is ending."""
        pauses = chain(PAUSES, repeat(PAUSES[-1]))
        while not hand.ending.is_set():
            try:
                await hand.publish(copy_of(hand.message, headers), queue)
            except PublishError:
                raise  # there is no such queue any more: it is declared on the next connection
            except DeliveryError:
                await self._wait(next(pauses), hand.ending, f"{queue} takes no messages")
            else:
                self._waits_for = None
                return True
        return False


@dataclass(frozen=True, slots=True)
class Hand:
    """A message in hand, and what it takes to be rid of it."""

    message: AbstractIncomingMessage
    channel: AbstractChannel
    publish: Publish
    ending: asyncio.Event


@asynccontextmanager
async def _in_hand(ending: asyncio.Event) -> AsyncIterator[set[asyncio.Task[None]]]:
    """Tasks that go on only within the block, however it ends.

    What is not done by then is delivered again, and is known by its key.
    """
    tasks: set[asyncio.Task[None]] = set()
    try:
        yield tasks
    finally:
        ending.set()
        for task in tasks:
            task.cancel()
        await _all_done(tasks)


async def _all_done(tasks: set[asyncio.Task[None]]) -> None:
    while tasks:
        await asyncio.wait(tasks)


async def _first_of(*events: asyncio.Event) -> None:
    waiting = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()


async def _end_of(channel: AbstractChannel) -> asyncio.Event:
    """Set once the channel has ended, or the queue that it consumes."""
    gone = asyncio.Event()
    underlay = await channel.get_underlay_channel()
    underlay.on_consumer_cancel_callbacks.add(lambda _: gone.set())
    channel.close_callbacks.add(lambda *_: gone.set())
    return gone


async def is_set_within(seconds: float, event: asyncio.Event) -> bool:
    """Whether it comes to that, waiting so long at most."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()
