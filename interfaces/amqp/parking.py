"""Messages that nobody could handle: to be looked at, sent again, or dropped, by a person.

RabbitMQ has no way to read one message of a queue, so they are taken one by one, looked at, and
given back as they were; only the one that is meant is settled.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue

from domain.refusals import Conflict, NotFound
from interfaces.amqp.connections import confirming_channel, connected
from interfaces.amqp.envelope import (
    ATTEMPT,
    DETAIL,
    ORIGIN,
    PARKED_AT,
    PARKED_ID,
    REASON,
    REPLAYED,
    bear_the_unreadable,
    carried_on,
    copy_of,
)
from interfaces.amqp.topology import INTAKES, declare_parking

OURS = frozenset({ATTEMPT, DETAIL, ORIGIN, PARKED_AT, PARKED_ID, REASON, REPLAYED})
"""Headers that parking added; they are taken off before a message is sent again."""


class NotParked(NotFound):
    """There is no parked message {id}."""


class NoneParked(NotFound):
    """There is no parked message of the reason {reason}; there are: {reasons}."""


class NotOurs(Conflict):
    """What is parked as {id} did not come from a queue of the club; it can only be dropped."""


@dataclass(frozen=True, slots=True)
class Parked:
    """A parked message."""

    id: str
    queue: str
    """Where it came from."""
    reason: str
    detail: str
    parked_at: str
    headers: dict[str, Any]
    """The message's own."""
    body: bytes


@dataclass(frozen=True, slots=True)
class Which:
    """Which parked messages are meant: those of these ids, and all of this reason."""

    ids: frozenset[str]
    reason: str | None = None


class Parking:
    """The parking queue."""

    def __init__(self, channel: AbstractChannel, queue: AbstractQueue) -> None:
        self._channel = channel
        self._queue = queue

    async def messages(self) -> AsyncIterator[tuple[Parked, AbstractIncomingMessage]]:
        """Every message, the oldest first; all are given back when the channel closes."""
        for _ in range(self._queue.declaration_result.message_count or 0):
            message = await self._queue.get(fail=False)
            if message is None:
                return
            yield _parked(message), message

    async def those(self, which: Which) -> AsyncIterator[tuple[Parked, AbstractIncomingMessage]]:
        """The messages that are meant; raises NotParked at the end where one of the ids is none.

        And NoneParked where none has the reason.
        """
        missing, reasons = set(which.ids), set[str]()
        async for parked, message in self.messages():
            reasons.add(parked.reason)
            if parked.id in missing or parked.reason == which.reason:
                missing.discard(parked.id)
                yield parked, message
            if not missing and which.reason is None:
                return
        if missing:
            raise NotParked(id=", ".join(sorted(missing)))
        if which.reason is not None and which.reason not in reasons:
            raise NoneParked(reason=which.reason, reasons=", ".join(sorted(reasons)) or "none")

    async def find(self, message_id: str) -> Parked:
        """The message of this id; raises NotParked."""
        parked, _ = await anext(self.those(Which(frozenset({message_id}))))
        return parked

    async def replay(
        self, which: Which, pass_for: Callable[[str, str], str], renewed: Callable[[str], str]
    ) -> AsyncIterator[Parked]:
        """Send them again to where they came from, to be decided anew; each as it is sent.

        `pass_for` makes what lets a signed message by although it is old, `renewed` makes of an
        access token one that has not come to its end. Raises NotOurs at the end where some came
        from elsewhere.
        """
        foreign: list[str] = []
        async for parked, message in self.those(which):
            if parked.queue not in INTAKES:
                foreign.append(parked.id)
                continue
            headers = parked.headers
            signed = str(headers.get("webhook-id", "")), str(headers.get("webhook-signature", ""))
            more = {REPLAYED: pass_for(*signed)}
            scheme, _, token = str(headers.get("authorization", "")).partition(" ")
            if token:
                more["authorization"] = f"{scheme} {renewed(token.strip())}"
            again = copy_of(message, {**carried_on(headers), **more})
            exchange = self._channel.default_exchange
            await exchange.publish(again, routing_key=parked.queue, mandatory=True)
            await message.ack()
            yield parked
        if foreign:
            raise NotOurs(id=", ".join(foreign))

    async def drop(self, which: Which) -> AsyncIterator[Parked]:
        """Throw them away; each as it is gone."""
        async for parked, message in self.those(which):
            await message.ack()
            yield parked


@asynccontextmanager
async def open_parking(url: str) -> AsyncIterator[Parking]:
    """The parking queue of this RabbitMQ."""
    bear_the_unreadable()
    async with connected(url) as connection:
        channel = await confirming_channel(connection)
        yield Parking(channel, await declare_parking(channel))


def _parked(message: AbstractIncomingMessage) -> Parked:
    said = {name: str(message.headers.get(name, "")) for name in OURS}
    own = {name: value for name, value in message.headers.items() if name not in OURS}
    return Parked(
        said[PARKED_ID],
        said[ORIGIN],
        said[REASON],
        said[DETAIL],
        said[PARKED_AT],
        own,
        message.body,
    )
