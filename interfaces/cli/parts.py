"""`club consumer`, `club relay`, `club publish`, `club projector`: parts, each a process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import uvloop

from infra.bootstrap import Club, open_club
from infra.chain.installed import look_for_kafka
from infra.following.follower import listen
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


def publish() -> None:
    """Publish the club's events to Kafka, for its chain; of several, one works at a time."""
    found = settings()
    with in_plain_words():
        look_for_kafka(found)
        _run(found, _publish, projecting=False)


async def _publish(club: Club, closing: asyncio.Event) -> None:
    # Who is in no chain has none of it installed.
    from infra.chain.kafka import Topic  # noqa: PLC0415
    from infra.chain.publishing import Publisher  # noqa: PLC0415

    publisher = Publisher(club.postgres, Topic(club.settings))
    async with club.parts.reporting(publisher.follower), asyncio.TaskGroup() as tasks:
        running = [
            tasks.create_task(publisher.run()),
            tasks.create_task(listen(club.postgres, lambda _: publisher.follower.wake())),
        ]
        await closing.wait()
        for task in running:
            task.cancel()


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
