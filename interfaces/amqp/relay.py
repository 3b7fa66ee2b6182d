"""The relay: every event of the ledger goes to RabbitMQ, in order, at least once.

A batch is published, all of it is confirmed, and then its last position is written down. What was
published and not written down when something broke is published again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractChannel, AbstractExchange

from domain.aggregate import Event
from interfaces.amqp.cloudevents import MEDIA_TYPE
from interfaces.amqp.outgoing import cloud_event
from interfaces.amqp.topology import declare_events

BATCH = 500
"""Events that are published before their confirmation is waited for."""


class Recorded(Protocol):
    """An event of the ledger, with its position."""

    @property
    def position(self) -> int: ...
    @property
    def event(self) -> Event: ...
    @property
    def correlation_id(self) -> str: ...
    @property
    def causation_id(self) -> str: ...


class Outbox(Protocol):
    """What is still to go out."""

    async def next(self, most: int) -> Sequence[Recorded]:
        """The next events, in order; waits until there are some."""
        ...

    async def confirmed(self, position: int) -> None:
        """Everything up to here is out."""
        ...


async def relay(outbox: Outbox, channel: AbstractChannel, source: str) -> None:
    """Publish until cancelled, or the channel ends; raises what RabbitMQ raises."""
    exchange = await declare_events(channel)
    while True:
        events = await outbox.next(BATCH)
        await publish(events, exchange, source)
        await outbox.confirmed(events[-1].position)


async def publish(events: Sequence[Recorded], exchange: AbstractExchange, source: str) -> None:
    """Publish in order, and wait until RabbitMQ has confirmed them all."""
    await asyncio.gather(
        *(
            exchange.publish(_message(recorded, source), recorded.event.TOPIC, mandatory=False)
            for recorded in events
        )
    )


def _message(recorded: Recorded, source: str) -> Message:
    event = recorded.event
    return Message(
        cloud_event(
            event, recorded.position, source, recorded.correlation_id, recorded.causation_id
        ),
        content_type=MEDIA_TYPE,
        delivery_mode=DeliveryMode.PERSISTENT,
        message_id=str(recorded.position),
        type=event.TOPIC,
    )
