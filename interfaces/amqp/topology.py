"""Every exchange and queue of the club, by name; declared by whoever comes first."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from aio_pika import ExchangeType
from aio_pika.abc import AbstractChannel, AbstractExchange, AbstractQueue
from aio_pika.exceptions import ChannelPreconditionFailed

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

DELIVERY_LIMIT = "x-delivery-limit"
FEWEST_DELIVERIES = 1_000
"""What a queue has to allow at least: we ourselves park what came back a hundred times."""

INTAKE: Mapping[str, Any] = {
    **QUORUM,
    # RabbitMQ 4 drops a message that came back 20 times: a consumer may be restarted more often.
    DELIVERY_LIMIT: 1_000_000,
}
WAITING: Mapping[str, Any] = {
    **QUORUM,
    # A message that waited goes back with a confirmation, or a restart in that moment loses it.
    "x-dead-letter-strategy": "at-least-once",
    "x-overflow": "reject-publish",
}


class DeclaredOtherwise(ChannelPreconditionFailed):
    """Somebody declared a queue or an exchange in another way than the club needs it."""

    def __init__(self, said: str) -> None:
        """`said` is RabbitMQ's own sentence, which names what differs first."""
        found = _INEQUIVALENT.search(said)
        self.argument, kind, name, needed, self.current = (
            (found[1], found[2], found[3], _value(found[4]), _value(found[5]))
            if found
            else ("", "", "", None, None)
        )
        super().__init__(
            f"the {kind} {name} is declared otherwise: its {self.argument} is "
            f"{_shown(self.current)}, and the club needs {_shown(needed)}"
            if found
            else said
        )

    @property
    def does_no_harm(self) -> bool:
        """Whether the queue is as good as ours: a release may ask for another number."""
        return (
            self.argument == DELIVERY_LIMIT
            and isinstance(self.current, int)
            and not 0 <= self.current < FEWEST_DELIVERIES  # below zero is no limit
        )


_INEQUIVALENT = re.compile(
    r"inequivalent arg '([^']+)' for (queue|exchange) '([^']+)' in vhost '.*?': "
    r"received (.+?) but current is (.+)"
)
_QUOTED = re.compile(r"'(.*)'")


def _value(said: str) -> str | int | None:
    """A value in RabbitMQ's words: none, `'classic'`, or `the value '5' of type 'byte'`."""
    quoted = _QUOTED.match(said.removeprefix("the value ").partition(" of type ")[0])
    if quoted is None:
        return None
    return int(quoted[1]) if quoted[1].removeprefix("-").isdecimal() else quoted[1]


def _shown(value: str | int | None) -> str:
    return "not set" if value is None else str(value) or "empty"


def retry_queue(queue: str, attempt: int) -> str:
    """Where a message of `queue` waits after its so-manieth attempt, from 1."""
    return f"{queue}.retry.{DELAYS[min(attempt, len(DELAYS)) - 1]}s"


async def declare(channel: AbstractChannel) -> None:
    """Make all of it, where it is not there yet; raises DeclaredOtherwise."""
    await declare_events(channel)
    for name in INTAKES:
        await declare_intake(channel, name)


async def declare_intake(channel: AbstractChannel, name: str) -> None:
    """Make what one intake needs: its queue, those in which messages wait, and the parking queue.

    Raises DeclaredOtherwise.
    """
    queue = await _queue(channel, name, INTAKE)
    if name == PAYMENTS_QUEUE:
        await queue.bind(await _topic(channel, PAYMENTS_EXCHANGE), "#")
    for attempt, seconds in enumerate(DELAYS, start=1):
        back = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": name}
        arguments = {**WAITING, **back, "x-message-ttl": seconds * 1000}
        await _queue(channel, retry_queue(name, attempt), arguments)
    await declare_parking(channel)


async def declare_events(channel: AbstractChannel) -> AbstractExchange:
    """What goes out; raises DeclaredOtherwise."""
    return await _topic(channel, EVENTS_EXCHANGE)


async def declare_parking(channel: AbstractChannel) -> AbstractQueue:
    """A classic queue: a quorum queue gives up a message that was looked at too often."""
    return await _queue(channel, PARKING_QUEUE, CLASSIC)


async def _topic(channel: AbstractChannel, name: str) -> AbstractExchange:
    try:
        return await channel.declare_exchange(name, ExchangeType.TOPIC, durable=True)
    except ChannelPreconditionFailed as refused:
        raise DeclaredOtherwise(str(refused)) from refused


async def _queue(
    channel: AbstractChannel, name: str, arguments: Mapping[str, Any]
) -> AbstractQueue:
    """The queue; one that is there is used where it differs in what does no harm only."""
    wanted = dict(arguments)
    while True:
        try:
            return await channel.declare_queue(name, durable=True, arguments=wanted)
        except ChannelPreconditionFailed as refused:
            otherwise = DeclaredOtherwise(str(refused))
            if not otherwise.does_no_harm or wanted.get(DELIVERY_LIMIT) == otherwise.current:
                raise otherwise from refused
            wanted[DELIVERY_LIMIT] = otherwise.current
            await channel.reopen()  # RabbitMQ closes it with each no
