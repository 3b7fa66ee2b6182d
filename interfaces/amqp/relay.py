"""Events out: every event of the ledger goes to RabbitMQ, in the order of the ledger."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractExchange

from domain.recorded import Recorded
from interfaces.amqp.cloudevents import MEDIA_TYPE
from interfaces.amqp.outgoing import cloud_event
from interfaces.amqp.outlet import Outlet


async def publish(
    outlet: Outlet, exchange: AbstractExchange, source: str, events: Sequence[Recorded]
) -> None:
    """Publish in order, and wait until RabbitMQ has confirmed them all."""
    await outlet.takes_messages()
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
