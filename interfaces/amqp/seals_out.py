"""Heads out: each signed head of the ledger goes to where others keep it.

Whoever rewrites the database has to explain the heads that are not in it. So one that nobody keeps
is not out: it waits, and all after it, until a queue has taken it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import orjson
from aio_pika import DeliveryMode, ExchangeType, Message
from aio_pika.abc import AbstractChannel, AbstractExchange
from aio_pika.exceptions import AMQPChannelError, ChannelNotFoundEntity, DeliveryError

from domain.aggregate import time_text
from interfaces.amqp.cloudevents import MEDIA_TYPE
from interfaces.amqp.outlet import Outlet

SEALED = "ledger.sealed"
"""The type of such a message."""


class NotKept(AMQPChannelError):
    """No queue has taken what goes to an exchange."""

    def __init__(self, exchange: str, key: str) -> None:
        where = f"to the exchange {exchange}" if exchange else "to the default exchange"
        super().__init__(f"no queue takes what goes {where} with the routing key {key}")


class Head(Protocol):
    """A signed head, as whoever signs it has it."""

    @property
    def size(self) -> int: ...
    @property
    def moment(self) -> datetime: ...
    @property
    def signature(self) -> bytes: ...
    @property
    def shown(self) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Route:
    """Where heads go."""

    exchange: str
    key: str

    @classmethod
    def of(cls, setting: str) -> Route:
        """What is before the first slash, and what is behind it."""
        exchange, _, key = setting.partition("/")
        return cls(exchange, key)


async def exchange_of(channel: AbstractChannel, route: Route) -> AbstractExchange:
    """The exchange of this route: somebody's own of any kind, or else a topic exchange."""
    if not route.exchange:
        return channel.default_exchange
    try:
        return await channel.declare_exchange(route.exchange, passive=True)
    except ChannelNotFoundEntity:
        await channel.reopen()  # RabbitMQ closes it with each no
        return await channel.declare_exchange(route.exchange, ExchangeType.TOPIC, durable=True)


async def publish_heads(
    outlet: Outlet, exchange: AbstractExchange, key: str, source: str, heads: Sequence[Head]
) -> None:
    """Publish one after the other, as each has to be kept before the next; raises NotKept."""
    await outlet.takes_messages()
    for head in heads:
        try:
            await exchange.publish(_message(head, source), key, mandatory=True)
        except DeliveryError as refused:
            raise NotKept(exchange.name, key) from refused


def _message(head: Head, source: str) -> Message:
    said = head_event(head, source)
    return Message(
        orjson.dumps(said),
        content_type=MEDIA_TYPE,
        delivery_mode=DeliveryMode.PERSISTENT,
        message_id=said["id"],
        type=SEALED,
    )


def head_event(head: Head, source: str) -> dict[str, Any]:
    """The head as it goes out; another head of the same position is another message."""
    return {
        "specversion": "1.0",
        "id": f"head-{head.size}-{head.signature.hex()[:16]}",
        "source": source,
        "type": SEALED,
        "subject": "ledger",
        "time": time_text(head.moment),
        "datacontenttype": "application/json",
        "sequence": f"{head.size:020d}",
        "data": head.shown,
    }
