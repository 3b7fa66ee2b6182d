"""The RabbitMQ channel, put together: consumers and relay, across everything that breaks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial

import psycopg
import structlog
from aio_pika.abc import AbstractConnection

from domain.values import PaymentStatus
from infra.bootstrap import Club
from infra.following.follower import listen
from infra.following.relaying import Relay
from infra.secrets.signatures import sign
from interfaces.amqp.commands import CommandsIn
from interfaces.amqp.connections import LOST, confirming_channel, connected
from interfaces.amqp.intake import Intake, is_set_within
from interfaces.amqp.parking import Parked, Parking, Which, open_parking
from interfaces.amqp.payments import PaymentsIn
from interfaces.amqp.relay import publish
from interfaces.amqp.replies import open_replies
from interfaces.amqp.simulation import send
from interfaces.amqp.topology import COMMANDS_QUEUE, PAYMENTS_QUEUE, declare, declare_events

__all__ = [
    "Parked",
    "Parking",
    "Which",
    "open_parking",
    "run_consumers",
    "run_relay",
    "simulate_payment",
]

RETRY = 1.0
"""Seconds between attempts to reach RabbitMQ."""

# While RabbitMQ is away, that is no error, and our own warnings say it without tracebacks.
logging.getLogger("aiormq").setLevel(logging.CRITICAL)

logger = structlog.get_logger("amqp")


async def run_consumers(club: Club, closing: asyncio.Event) -> None:
    """Take commands and the news of payments until `closing`, then finish what is in hand."""
    payments = PaymentsIn(club.bus, club.signatures)

    async def consume(connection: AbstractConnection) -> None:
        commands_channel = await confirming_channel(connection)
        payments_channel = await confirming_channel(connection)
        await declare(commands_channel)
        async with open_replies(_url(club)) as replies, asyncio.TaskGroup() as tasks:
            commands = CommandsIn(club, replies)
            tasks.create_task(
                Intake(COMMANDS_QUEUE, commands.handle).run(commands_channel, closing)
            )
            tasks.create_task(
                Intake(PAYMENTS_QUEUE, payments.handle).run(payments_channel, closing)
            )

    await _stay_connected(club, consume, "consumers", closing)


async def run_relay(club: Club, closing: asyncio.Event) -> None:
    """Publish the club's events until `closing`."""

    async def follow(connection: AbstractConnection) -> None:
        exchange = await declare_events(await confirming_channel(connection))
        relay = Relay(
            club.postgres, partial(publish, exchange, club.settings.issuer), passes_on=LOST
        )
        async with club.parts.reporting(relay.follower), asyncio.TaskGroup() as tasks:
            tasks.create_task(listen(club.postgres, lambda _: relay.follower.wake()))
            await relay.run()

    async def until_asked(connection: AbstractConnection) -> None:
        working = asyncio.create_task(follow(connection))
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
    secret = await club.signatures.newest_secret(provider)
    async with connected(_url(club)) as connection:
        channel = await confirming_channel(connection)
        return await send(channel, provider, partial(sign, secret), payment_id, status, times)


async def _stay_connected(
    club: Club,
    work: Callable[[AbstractConnection], Awaitable[None]],
    name: str,
    closing: asyncio.Event,
) -> None:
    """Do the work on a connection, and again on the next whenever one is lost."""
    while not closing.is_set():
        try:
            async with connected(_url(club)) as connection:
                logger.info("amqp.connected", part=name)
                await work(connection)
        except* (*LOST, psycopg.Error) as lost:
            logger.warning("amqp.lost", part=name, reason=str(lost.exceptions[0]))
        await is_set_within(RETRY, closing)


def _url(club: Club) -> str:
    url = club.settings.amqp_url
    assert url is not None  # noqa: S101 - the caller has looked
    return url
