"""A payment provider's part, played by the club: for trying things out."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime

import orjson
from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractChannel

from domain.aggregate import time_text
from domain.values import PaymentStatus
from interfaces.amqp.cloudevents import MEDIA_TYPE
from interfaces.amqp.payments import TYPE
from interfaces.amqp.topology import PAYMENTS_EXCHANGE, PAYMENTS_QUEUE, declare_intake


async def send(
    channel: AbstractChannel,
    provider: str,
    signature: Callable[[str, int, bytes], str],
    payment_id: int,
    status: PaymentStatus,
    times: int,
) -> str:
    """Publish the news of a payment, the same message so many times; returns its id.

    `signature` signs an id, a time in seconds since 1970 and a body.
    """
    await declare_intake(channel, PAYMENTS_QUEUE)
    message_id = f"msg_{uuid.uuid4().hex}"
    body = orjson.dumps(
        {
            "specversion": "1.0",
            "id": message_id,
            "source": f"/providers/{provider}",
            "type": TYPE,
            "time": time_text(datetime.now(UTC)),
            "data": {"payment_id": payment_id, "payment_status": status.value},
        }
    )
    now = int(time.time())
    message = Message(
        body,
        content_type=MEDIA_TYPE,
        delivery_mode=DeliveryMode.PERSISTENT,
        message_id=message_id,
        headers={
            "provider": provider,
            "webhook-id": message_id,
            "webhook-timestamp": str(now),
            "webhook-signature": signature(message_id, now, body),
        },
    )
    exchange = await channel.get_exchange(PAYMENTS_EXCHANGE)
    for _ in range(times):
        await exchange.publish(message, routing_key=TYPE)
    return message_id
