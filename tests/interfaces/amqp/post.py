"""A club with a provider, and messages between them over a real RabbitMQ."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import struct
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, TypeVar

import orjson
from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractChannel
from pamqp.commands import Basic

from application.access import THE_CLUB
from application.clients import RegisterClient
from application.command import Command, Context
from application.memberships import AddMembership, MembershipBody
from application.payments import RequestPayment
from application.providers import RegisterProvider
from application.users import RegisterUser
from domain.aggregate import time_text
from domain.values import PaymentStatus
from infra.bootstrap import Club, open_club
from infra.settings import Settings
from interfaces.amqp.main import run_consumers
from interfaces.amqp.parking import Parked, open_parking
from interfaces.amqp.topology import PAYMENTS_EXCHANGE, PAYMENTS_QUEUE, declare
from tests.application.scene import client_body, new_user, payment_body
from tests.rabbitmq import waiting_in
from tests.waiting import until

PATIENCE = 30.0
"""Seconds after which something that should happen counts as not happening."""

T = TypeVar("T")


def hours_ago(hours: float) -> str:
    """A moment, as facts carry it."""
    return time_text(datetime.now(UTC) - timedelta(hours=hours))


async def wait_for(channel: AbstractChannel, queue: str, number: int = 1) -> None:
    """Return once so many messages wait in a queue."""

    async def enough() -> bool:
        return await waiting_in(channel, queue) == number

    await until(enough, f"{number} in {queue}")


class Unencoded(Basic.Properties):
    """Properties with headers that no client of ours would write."""

    def __init__(self, table: bytes) -> None:
        super().__init__()
        self._table = table

    def marshal(self) -> bytes:
        return struct.pack(">H", 1 << 13) + self._table


@dataclass
class Post:
    """The provider acme, a client who owes, and what became of it in the club."""

    club: Club
    channel: AbstractChannel
    secret: bytes
    _numbers: Any = field(default_factory=lambda: count(1))

    # --- the provider ----------------------------------------------------------------------

    def news(
        self, payment_id: int, status: str = "PAID", *, at: str | None = None, **facts: Any
    ) -> dict[str, Any]:
        """An event in the form of CloudEvents; each has an id of its own."""
        return {
            "specversion": "1.0",
            "id": f"evt-{next(self._numbers)}",
            "source": "/providers/acme",
            "type": "payment.reported",
            "time": at or hours_ago(1),
            "data": {"payment_id": payment_id, "payment_status": status},
            **facts,
        }

    def signed(self, body: bytes, *, ago: float = 0, secret: bytes | None = None) -> dict[str, Any]:
        """The headers of a message, signed as the standard says."""
        at = int(time.time() - ago)
        message_id = f"msg-{next(self._numbers)}"
        what = f"{message_id}.{at}.".encode() + body
        digest = hmac.new(secret or self.secret, what, hashlib.sha256).digest()
        return {
            "provider": "acme",
            "webhook-id": message_id,
            "webhook-timestamp": str(at),
            "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
        }

    async def send(
        self,
        news: dict[str, Any] | list[Any] | bytes,
        headers: dict[str, Any] | None = None,
        *,
        times: int = 1,
        **properties: Any,
    ) -> bytes:
        """Publish a message, signed unless headers are given; returns its body."""
        body = news if isinstance(news, bytes) else orjson.dumps(news)
        message = Message(
            body,
            headers=self.signed(body) if headers is None else headers,
            delivery_mode=DeliveryMode.PERSISTENT,
            **properties,
        )
        exchange = await self.channel.get_exchange(PAYMENTS_EXCHANGE)
        await asyncio.gather(
            *(exchange.publish(message, routing_key="payment.reported") for _ in range(times))
        )
        return body

    async def send_unencoded(self, table: bytes, body: bytes = b"{}") -> None:
        """Publish a message whose headers are these bytes."""
        underlay = await self.channel.get_underlay_channel()
        await underlay.basic_publish(body, routing_key=PAYMENTS_QUEUE, properties=Unencoded(table))

    # --- the club --------------------------------------------------------------------------

    async def do(self, command: Command) -> int:
        """Have something done without a message; the number of what was made."""
        outcome = await self.club.bus.execute(command, Context(THE_CLUB, "scene"))
        return int((outcome.body or {}).get("id", 0))

    async def payment(self) -> tuple[int, int]:
        """A payment since two hours ago, and the client who owes it and was never let in."""
        user_id = await self.do(RegisterUser(new_user(f"user{next(self._numbers)}")))
        membership_id = await self.do(AddMembership(MembershipBody(price="49.90")))
        client = client_body(user_id=user_id, membership_id=membership_id, status="UPCOMING")
        client_id = await self.do(RegisterClient(client))
        body = payment_body(client_id, membership_id, timestamp=hours_ago(2))
        return await self.do(RequestPayment(body)), client_id

    async def standing(self, client_id: int) -> str:
        """Where the client stands with the club."""
        ((status,),) = await self.rows("SELECT status::text FROM clients WHERE id = %s", client_id)
        return str(status)

    async def status(self, payment_id: int) -> str:
        """How far the payment has come."""
        ((status,),) = await self.rows(
            "SELECT payment_status::text FROM payments WHERE id = %s", payment_id
        )
        return str(status)

    async def reaches(self, payment_id: int, status: PaymentStatus | str) -> None:
        """Return once the payment has come so far."""

        async def reached() -> bool:
            return await self.status(payment_id) == status

        await until(reached, f"payment {payment_id} is {status}")

    async def happened(self, topic: str) -> int:
        """How often something is in the ledger."""
        ((number,),) = await self.rows("SELECT count(*) FROM ledger_events WHERE topic = %s", topic)
        return int(number)

    async def rows(self, sql: str, *params: Any) -> list[tuple[Any, ...]]:
        return await self.club.postgres.rows(sql, params)

    # --- RabbitMQ --------------------------------------------------------------------------

    async def parked(self) -> list[Parked]:
        """What is parked, the oldest first."""
        assert self.club.settings.amqp_url is not None
        async with open_parking(self.club.settings.amqp_url) as parking:
            return [parked async for parked, _ in parking.messages()]

    async def is_parked(self) -> Parked:
        """The one message that is parked, once it is."""
        (parked,) = await until(self.parked, "a message is parked")
        return parked


@asynccontextmanager
async def consuming(club: Club) -> AsyncIterator[None]:
    """The club's consumers at work; closed in order at the end."""
    closing = asyncio.Event()
    running = asyncio.create_task(run_consumers(club, closing))
    try:
        yield
    finally:
        closing.set()
        await running


@asynccontextmanager
async def opened_post(
    settings: Settings, url: str, channel: AbstractChannel
) -> AsyncIterator[Post]:
    """An open club on this RabbitMQ, with the provider acme; nobody consumes yet."""
    await declare(channel)
    async with open_club(settings.model_copy(update={"amqp_url": url})) as club:
        await club.bus.execute(RegisterProvider("acme"), Context(THE_CLUB, "scene"))
        written = club.provider_secrets.written("acme", 1)
        yield Post(club, channel, base64.b64decode(written.removeprefix("whsec_")))
