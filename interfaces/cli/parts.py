"""`club consumer`, `club relay`, `club projector`: parts of the service, each a process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import uvloop

from infra.bootstrap import Club, open_club
from infra.settings import Settings
from interfaces.amqp.main import run_consumers, run_relay
from interfaces.cli.opening import end_this_on_signal, in_plain_words, on_signal, settings, tell
from interfaces.cli.queue import NoRabbitMQ

Part = Callable[[Club, asyncio.Event], Awaitable[None]]


def consumer() -> None:
    """Take commands and the news of payments from RabbitMQ."""
    _run_with_rabbitmq(run_consumers)


def relay() -> None:
    """Publish the club's events to RabbitMQ; of several, one works and the others wait."""
    _run_with_rabbitmq(run_relay)


def projector() -> None:
    """Build the read tables, and seal the ledger.

    Beside it, start `club run` with --no-projector.
    """

    async def wait(_: Club, closing: asyncio.Event) -> None:
        await closing.wait()

    with in_plain_words():
        _run(settings(), wait, projecting=True)


def _run_with_rabbitmq(part: Part) -> None:
    found = settings()
    with in_plain_words():
        if found.amqp_url is None:
            raise NoRabbitMQ
        _run(found, part, projecting=False)


def _run(found: Settings, part: Part, *, projecting: bool) -> None:
    async def until_told() -> None:
        end_this_on_signal()
        async with open_club(
            found,
            projecting=projecting,
            building=projecting,
            sealing=projecting,
            # Nobody else makes the tables of a database that several processes were given.
            founding=None if found.database_url is None else tell,
            reporting=True,
        ) as club:
            closing = asyncio.Event()
            on_signal(closing.set)
            await part(club, closing)

    with suppress(asyncio.CancelledError):
        uvloop.run(until_told())
