"""Every exchange and queue of the club, by name; declared by whoever comes first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aio_pika import ExchangeType
from aio_pika.abc import AbstractChannel, AbstractExchange, AbstractQueue

COMMANDS_QUEUE = "club.commands"
PAYMENTS_EXCHANGE = "club.payments"
PAYMENTS_QUEUE = "payment_queue"
EVENTS_EXCHANGE = "club.events"
PARKING_QUEUE = "club.parking"
"""Messages that nobody could handle, with the reason in their headers."""

INTAKES = (COMMANDS_QUEUE, PAYMENTS_QUEUE)
"""Queues that the club consumes."""

DELAYS = (1, 5, 30, 120, 600)
"""Seconds to wait before a message is tried again: the first time, the second, and so on."""

QUORUM: Mapping[str, Any] = {"x-queue-type": "quorum"}
CLASSIC: Mapping[str, Any] = {"x-queue-type": "classic"}

INTAKE: Mapping[str, Any] = {
    **QUORUM,
    # RabbitMQ 4 drops a message that came back 20 times: a consumer may be restarted more often.
    "x-delivery-limit": 1_000_000,
}
WAITING: Mapping[str, Any] = {
    **QUORUM,
    # A message that waited goes back with a confirmation, or a restart in that moment loses it.
    "x-dead-letter-strategy": "at-least-once",
    "x-overflow": "reject-publish",
}


def retry_queue(queue: str, attempt: int) -> str:
    """Where a message of `queue` waits after its so-manieth attempt, from 1."""
    return f"{queue}.retry.{DELAYS[min(attempt, len(DELAYS)) - 1]}s"


async def declare(channel: AbstractChannel) -> None:
    """Make all of it, where it is not there yet."""
    payments = await channel.declare_exchange(PAYMENTS_EXCHANGE, ExchangeType.TOPIC, durable=True)
    await declare_events(channel)
    for name in INTAKES:
        queue = await _queue(channel, name, INTAKE)
        if name == PAYMENTS_QUEUE:
            await queue.bind(payments, "#")
        for attempt, seconds in enumerate(DELAYS, start=1):
            back = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": name}
            arguments = {**WAITING, **back, "x-message-ttl": seconds * 1000}
            await _queue(channel, retry_queue(name, attempt), arguments)
    await declare_parking(channel)


async def declare_events(channel: AbstractChannel) -> AbstractExchange:
    """What goes out."""
    return await channel.declare_exchange(EVENTS_EXCHANGE, ExchangeType.TOPIC, durable=True)


async def declare_parking(channel: AbstractChannel) -> AbstractQueue:
    """A classic queue: a quorum queue gives up a message that was looked at too often."""
    return await _queue(channel, PARKING_QUEUE, CLASSIC)


async def _queue(
    channel: AbstractChannel, name: str, arguments: Mapping[str, Any]
) -> AbstractQueue:
    return await channel.declare_queue(name, durable=True, arguments=dict(arguments))
