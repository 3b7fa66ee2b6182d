"""The RabbitMQ channel, put together: consumers and relay, across everything that breaks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial

import aio_pika
import psycopg
import structlog
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import AMQPException

from domain.values import PaymentStatus
from infra.bootstrap import Club
from infra.outbox import RELAY, Outbox
from infra.signatures import sign
from interfaces.amqp.commands import CommandsIn
from interfaces.amqp.intake import Intake, is_set_within
from interfaces.amqp.parking import Parked, Parking, open_parking
from interfaces.amqp.payments import PaymentsIn
from interfaces.amqp.relay import relay
from interfaces.amqp.simulation import send
from interfaces.amqp.topology import COMMANDS_QUEUE, PAYMENTS_QUEUE, declare

__all__ = ["Parked", "Parking", "open_parking", "run_consumers", "run_relay", "simulate_payment"]

RETRY = 1.0
"""Seconds between attempts to reach RabbitMQ."""

LONGEST_WAIT = 10.0
"""Seconds to wait for a connection."""

LOST = (AMQPException, ConnectionError, OSError, asyncio.TimeoutError, RuntimeError)
"""What it looks like when RabbitMQ goes away; the client raises a bare RuntimeError, too."""

# While RabbitMQ is away, that is no error, and our own warnings say it without tracebacks.
logging.getLogger("aiormq").setLevel(logging.CRITICAL)

logger = structlog.get_logger("amqp")


async def run_consumers(club: Club, closing: asyncio.Event) -> None:
    """Take commands and the news of payments until `closing`, then finish what is in hand."""
    payments = PaymentsIn(club.bus, club.signatures)

    async def consume(connection: AbstractConnection) -> None:
        commands_channel, payments_channel = await _channel(connection), await _channel(connection)
        await declare(commands_channel)
        commands = CommandsIn(club, commands_channel)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(
                Intake(COMMANDS_QUEUE, commands.handle).run(commands_channel, closing)
            )
            tasks.create_task(
                Intake(PAYMENTS_QUEUE, payments.handle).run(payments_channel, closing)
            )

    await _stay_connected(club, consume, "consumers", closing)


async def run_relay(club: Club, closing: asyncio.Event) -> None:
    """Publish the club's events until `closing`."""

    async def publish(connection: AbstractConnection) -> None:
        channel = await _channel(connection)
        async with Outbox.of(club.postgres, RELAY) as outbox:
            await relay(outbox, channel, club.settings.issuer)

    async def until_asked(connection: AbstractConnection) -> None:
        working = asyncio.create_task(publish(connection))
        asked = asyncio.create_task(closing.wait())
        try:
            await asyncio.wait({working, asked}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            asked.cancel()
            working.cancel()
            await asyncio.wait({working})
        if not working.cancelled():
            working.result()

    await _stay_connected(club, until_asked, "relay", closing)


async def simulate_payment(
    club: Club, provider: str, payment_id: int, status: PaymentStatus, times: int
) -> str:
    """Publish what a provider would about a payment; returns the id of the message."""
    url = club.settings.amqp_url
    assert url is not None  # noqa: S101 - the caller has looked
    secret = await club.signatures.newest_secret(provider)
    async with await aio_pika.connect(url, timeout=LONGEST_WAIT) as connection:
        channel = await _channel(connection)
        return await send(channel, provider, partial(sign, secret), payment_id, status, times)


async def _stay_connected(
    club: Club,
    work: Callable[[AbstractConnection], Awaitable[None]],
    name: str,
    closing: asyncio.Event,
) -> None:
    """Do the work on a connection, and again on the next whenever one is lost."""
    url = club.settings.amqp_url
    assert url is not None  # noqa: S101 - the caller has looked
    while not closing.is_set():
        try:
            async with await aio_pika.connect(url, timeout=LONGEST_WAIT) as connection:
                logger.info("amqp.connected", part=name)
                await work(connection)
        except* (*LOST, psycopg.OperationalError) as lost:
            logger.warning("amqp.lost", part=name, reason=str(lost.exceptions[0]))
        await is_set_within(RETRY, closing)


async def _channel(connection: AbstractConnection) -> AbstractChannel:
    """A channel on which everything published is confirmed, and nothing gets lost unseen."""
    return await connection.channel(publisher_confirms=True, on_return_raises=True)
