"""What works over RabbitMQ as long as its process runs: over one connection after another."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import structlog
from aio_pika.exceptions import (
    AMQPChannelError,
    ChannelClosed,
    ConnectionClosed,
    ProbableAuthenticationError,
)

from interfaces.amqp.connections import LOST, Ended
from interfaces.amqp.intake import is_set_within
from interfaces.amqp.seals_out import NotKept
from interfaces.amqp.topology import DeclaredOtherwise

RETRY = 1.0
"""Seconds between attempts to reach RabbitMQ."""

LOOKED_AGAIN = 5.0
"""Seconds between looks whether what RabbitMQ refuses has been put right."""

logger = structlog.get_logger("amqp")


class Going(Protocol):
    """Something that knows why it does not go on."""

    @property
    def why(self) -> str | None:
        """Why not; None where it does."""


class Part:
    """One part: it works, or it says why it does not, also where there is no RabbitMQ."""

    def __init__(
        self, name: str, work: Callable[[Part], Awaitable[None]], last_words: float = 0.0
    ) -> None:
        """`work` opens what it needs, calls `works`, and goes on until that is lost.

        It has so many seconds of `last_words` to end by itself once all is closing.
        """
        self.name = name
        self._work = work
        self._last_words = last_words
        self._lost: str | None = "RabbitMQ has not been reached yet"
        self._hangs_on: Sequence[Going] = ()

    @property
    def why(self) -> str | None:
        """Why it does not go on; None where it does."""
        return self._lost or next((one.why for one in self._hangs_on if one.why), None)

    def works(self, *hangs_on: Going) -> None:
        """It has begun, and goes on as long as all of these do."""
        logger.info("amqp.connected", part=self.name)
        self._lost, self._hangs_on = None, hangs_on

    async def run(self, closing: asyncio.Event) -> None:
        """Work until `closing`, and begin again whenever something is lost."""
        while not closing.is_set():
            pause = RETRY
            try:
                await self._begin(closing)
            except* LOST as lost:
                fault = _first(lost)
                self._is_lost(fault)
                pause = LOOKED_AGAIN if isinstance(fault, AMQPChannelError) else RETRY
            await is_set_within(pause, closing)

    async def _begin(self, closing: asyncio.Event) -> None:
        working = asyncio.ensure_future(self._work(self))
        asked = asyncio.create_task(closing.wait())
        try:
            await asyncio.wait({working, asked}, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait({working}, timeout=self._last_words)
        finally:
            asked.cancel()
            working.cancel()
            await asyncio.wait({working})
        if not working.cancelled():
            working.result()
        elif not closing.is_set():  # as the client does with what waits when its connection ends
            raise Ended(Ended.__doc__)

    def _is_lost(self, fault: BaseException) -> None:
        why = said_of(fault)
        if why != self._lost:
            logger.warning("amqp.lost", part=self.name, reason=why, said=str(fault))
        self._lost, self._hangs_on = why, ()


def said_of(fault: BaseException) -> str:
    """What a fault means for people, without the address that it may name."""
    match fault:
        case DeclaredOtherwise() | Ended() | NotKept():
            return str(fault)
        case ChannelClosed() | ConnectionClosed() | ProbableAuthenticationError():
            return f"RabbitMQ refuses it: {fault.args[-1] if fault.args else fault}"
        case TimeoutError():
            return "RabbitMQ does not answer"
        case _:
            return "RabbitMQ cannot be reached"


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The fault that came first."""
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
