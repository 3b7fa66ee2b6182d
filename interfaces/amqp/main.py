"""The RabbitMQ channel, put together: consumers and relay, across everything that breaks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial

from domain.values import PaymentStatus
from infra.bootstrap import Club
from infra.following.follower import Follower, listen
from infra.following.relaying import EVENTS_OUT, HEADS_OUT, Line, Publish, Relay
from infra.following.relaying import RELAY as EVENTS
from infra.parts import COMMANDS, PAYMENTS, RELAY, SEALS_OUT
from infra.proofs.heads import OUT as HEADS
from infra.secrets.signatures import sign
from infra.standstill import Told
from interfaces.amqp.commands import CommandsIn
from interfaces.amqp.connections import LOST, confirming_channel, connected
from interfaces.amqp.intake import LAST_WORDS, Handler, Intake
from interfaces.amqp.outlet import Outlet, open_outlet
from interfaces.amqp.parking import Parked, Parking, Which, open_parking
from interfaces.amqp.part import Part
from interfaces.amqp.payments import PaymentsIn
from interfaces.amqp.relay import publish
from interfaces.amqp.replies import open_replies
from interfaces.amqp.seals_out import Route, exchange_of, publish_heads
from interfaces.amqp.simulation import send
from interfaces.amqp.topology import COMMANDS_QUEUE, PAYMENTS_QUEUE, declare_events, declare_intake

__all__ = [
    "Parked",
    "Parking",
    "Which",
    "open_parking",
    "run_consumers",
    "run_relay",
    "simulate_payment",
]

LONGEST_END = LAST_WORDS + 5.0
"""Seconds for all that a consumer has to close."""

# While RabbitMQ is away, that is no error, and our own warnings say it without tracebacks.
logging.getLogger("aiormq").setLevel(logging.CRITICAL)


async def run_consumers(club: Club, closing: asyncio.Event) -> None:
    """Take commands and the news of payments until `closing`, then finish what is in hand."""
    payments = PaymentsIn(club.bus, club.signatures)

    async def take_commands(part: Part) -> None:
        async with open_replies(_url(club)) as replies:
            await consume(part, COMMANDS_QUEUE, CommandsIn(club, replies).handle)

    async def take_payments(part: Part) -> None:
        await consume(part, PAYMENTS_QUEUE, payments.handle)

    async def consume(part: Part, queue: str, handle: Handler) -> None:
        url = _url(club)
        async with open_outlet(url) as outlet, connected(url) as connection:
            channel = await confirming_channel(connection)
            await declare_intake(channel, queue)
            intake = Intake(queue, handle)
            part.works(outlet, intake)
            async with asyncio.TaskGroup() as tasks:
                watching = tasks.create_task(outlet.watch())
                await intake.run(channel, outlet.publish, closing)
                watching.cancel()

    commands = Part(COMMANDS, take_commands, LONGEST_END)
    news = Part(PAYMENTS, take_payments, LONGEST_END)
    async with _reported(club, commands, news), asyncio.TaskGroup() as tasks:
        tasks.create_task(commands.run(closing))
        tasks.create_task(news.run(closing))


async def run_relay(club: Club, closing: asyncio.Event) -> None:
    """Publish the club's events until `closing`, and its signed heads, where they have a route."""
    source = club.settings.issuer

    async def events(outlet: Outlet) -> Publish:
        return partial(publish, outlet, await declare_events(outlet.channel), source)

    async def heads(outlet: Outlet, route: Route) -> Publish:
        return partial(
            publish_heads, outlet, await exchange_of(outlet.channel, route), route.key, source
        )

    async def follow(part: Part, opened: Opening, line: Line, name: str) -> None:
        async with open_outlet(_url(club)) as outlet:
            relay = Relay(club.postgres, await opened(outlet), line=line, name=name, passes_on=LOST)
            part.works(outlet, Following(relay.follower))
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(outlet.watch())
                tasks.create_task(listen(club.postgres, lambda _: relay.follower.wake()))
                await relay.run()

    parts = [Part(RELAY, partial(follow, opened=events, line=EVENTS_OUT, name=EVENTS))]
    if club.settings.seals_route is not None:
        opened = partial(heads, route=Route.of(club.settings.seals_route))
        parts.append(Part(SEALS_OUT, partial(follow, opened=opened, line=HEADS_OUT, name=HEADS)))
    async with _reported(club, *parts), asyncio.TaskGroup() as tasks:
        for part in parts:
            tasks.create_task(part.run(closing))


Opening = Callable[[Outlet], Awaitable[Publish]]
"""Makes what publishes over an outlet."""


@dataclass(frozen=True)
class Following:
    """The relay, as far as it depends on the ledger and on confirmations."""

    follower: Follower

    @property
    def why(self) -> str | None:
        """Why it does not go on; None where it does."""
        standstill = self.follower.standstill
        return None if standstill is None else standstill.sentence


def _reported(club: Club, *parts: Part) -> AbstractAsyncContextManager[None]:
    """Have everybody told how these parts are."""
    return club.parts.reporting(*(Told(part.name, partial(getattr, part, "why")) for part in parts))


async def simulate_payment(
    club: Club, provider: str, payment_id: int, status: PaymentStatus, times: int
) -> str:
    """Publish what a provider would about a payment; returns the id of the message."""
    secret = await club.signatures.newest_secret(provider)
    async with connected(_url(club)) as connection:
        channel = await confirming_channel(connection)
        return await send(channel, provider, partial(sign, secret), payment_id, status, times)


def _url(club: Club) -> str:
    url = club.settings.amqp_url
    assert url is not None  # noqa: S101 - the caller has looked
    return url
