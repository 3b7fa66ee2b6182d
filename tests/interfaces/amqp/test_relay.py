"""The relay: every event goes out, in order, at least once, whatever breaks."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Self
from urllib.parse import urlsplit

import aio_pika
import orjson
import pytest
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from structlog.testing import capture_logs

from application.exercises import AddExercise, ExerciseBody
from infra.bootstrap import Club
from infra.following.relaying import BATCH, RELAY
from infra.settings import Settings
from interfaces.amqp.main import run_relay
from interfaces.amqp.topology import EVENTS_EXCHANGE, declare_events
from tests.conftest import Rest
from tests.databases import read_only, relay_lag, takes_writes
from tests.projections.histories import record, rich
from tests.rabbitmq import private_rabbitmq
from tests.waiting import until

PATIENCE = 30.0


@pytest.fixture
def settings(settings: Settings, amqp_url: str) -> Settings:
    """Settings of a club with a RabbitMQ."""
    return settings.model_copy(update={"amqp_url": amqp_url})


@dataclass
class Subscriber:
    """Somebody who follows the club."""

    messages: asyncio.Queue[AbstractIncomingMessage]

    @classmethod
    async def on(cls, channel: AbstractChannel, binding: str = "#", queue: str = "") -> Self:
        """A queue of its own, bound to the club's events."""
        messages: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
        own = await channel.declare_queue(
            queue or None, durable=bool(queue), exclusive=not queue, auto_delete=not queue
        )
        await own.bind(await declare_events(channel), binding)
        await own.consume(messages.put, no_ack=True)
        return cls(messages)

    async def until(self, position: int) -> list[int]:
        """The sequence as it came, up to the first time that this position came."""
        found: list[int] = []
        while not found or found[-1] != position:
            found.append(sequence(await self.next()))
        return found

    async def next(self) -> AbstractIncomingMessage:
        return await asyncio.wait_for(self.messages.get(), PATIENCE)


def sequence(message: AbstractIncomingMessage) -> int:
    return int(orjson.loads(message.body)["sequence"])


def event(message: AbstractIncomingMessage) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(message.body)
    return found


@asynccontextmanager
async def relaying(club: Club) -> AsyncIterator[asyncio.Task[None]]:
    """A relay at work."""
    closing = asyncio.Event()
    running = asyncio.create_task(run_relay(club, closing))
    try:
        yield running
    finally:
        closing.set()
        await asyncio.wait({running}, timeout=PATIENCE)
        assert running.done(), "the relay does not end when it is asked to"


class Wire:
    """The wire between the relay and RabbitMQ: it can be cut, or lose what RabbitMQ says."""

    def __init__(self, url: str) -> None:
        self._to = urlsplit(url)
        self._open: set[asyncio.StreamWriter] = set()
        self._loses_answers = asyncio.Event()
        self.sent = 0
        """Bytes that went to RabbitMQ since answers are lost."""
        self.url = ""

    @classmethod
    @asynccontextmanager
    async def before(cls, url: str) -> AsyncIterator[Wire]:
        """A wire to this RabbitMQ."""
        wire = cls(url)
        server = await asyncio.start_server(wire._carry, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        wire.url = wire._to._replace(netloc=f"guest:guest@{host}:{port}").geturl()
        try:
            yield wire
        finally:
            server.close()
            wire.cut()

    def lose_answers(self) -> None:
        """Let nothing through from RabbitMQ any more."""
        self._loses_answers.set()

    def cut(self) -> None:
        """End every connection."""
        for writer in self._open:
            writer.close()
        self._open.clear()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, away = await asyncio.open_connection(self._to.hostname, self._to.port)
        self._open |= {writer, away}

        async def pump(source: asyncio.StreamReader, to: asyncio.StreamWriter, out: bool) -> None:
            while data := await source.read(65536):
                lost = self._loses_answers.is_set()
                if lost and out:
                    self.sent += len(data)
                if out or not lost:
                    to.write(data)
            to.close()

        await asyncio.gather(
            pump(reader, away, True), pump(there, writer, False), return_exceptions=True
        )


async def add_exercise(rest: Rest, title: str) -> int:
    """The position of the last event of a new exercise."""
    return (await rest.do(AddExercise(ExerciseBody(title=title)))).position


async def caught_up(club: Club) -> None:
    """Wait until everything is confirmed."""
    async with asyncio.timeout(PATIENCE):
        while await relay_lag(club.postgres, RELAY) != 0:  # noqa: ASYNC110 - Postgres tells nobody
            await asyncio.sleep(0.02)


def without_holes(found: Sequence[int]) -> bool:
    """Whether nothing was skipped: no position came before the one ahead of it had come."""
    furthest = 0
    for position in found:
        if position > furthest + 1:
            return False
        furthest = max(furthest, position)
    return True


# --- what subscribers get -------------------------------------------------------------------------


async def test_every_event_goes_out_in_order_without_a_hole(
    club: Club, database: str, channel: AbstractChannel
) -> None:
    events = rich(900).events
    assert len(events) > 2 * BATCH
    await record(database, events)
    subscriber = await Subscriber.on(channel)
    async with relaying(club):
        messages = [await subscriber.next() for _ in events]
        await caught_up(club)
    assert [sequence(message) for message in messages] == list(range(1, len(events) + 1))
    assert [message.routing_key for message in messages] == [e.TOPIC for e in events]
    assert subscriber.messages.empty()


async def test_a_message_says_what_it_is(rest: Rest, channel: AbstractChannel, club: Club) -> None:
    subscriber = await Subscriber.on(channel, "exercise.added")
    async with relaying(club):
        await add_exercise(rest, "Squat")
        message = await subscriber.next()
    found = event(message)
    position = int(found["id"])
    assert message.content_type == "application/cloudevents+json"
    assert message.delivery_mode == aio_pika.DeliveryMode.PERSISTENT
    assert (message.message_id, message.type) == (str(position), "exercise.added")
    assert found["sequence"] == f"{position:020d}"
    assert found["source"] == club.settings.issuer
    assert found["subject"] == "exercise-1"
    assert found["correlationid"] == "scene"
    assert found["data"] == {
        "title": "Squat",
        "description": None,
        "muscle_group": None,
        "equipment_required": False,
        "complexity_lvl": "BEGINNER",
    }


async def test_whoever_binds_to_a_kind_gets_that_kind_only(
    club: Club, database: str, channel: AbstractChannel
) -> None:
    events = rich(200).events
    await record(database, events)
    clients, plans = (
        await Subscriber.on(channel, "client.*"),
        await Subscriber.on(channel, "*.added"),
    )
    async with relaying(club):
        await caught_up(club)
        expected = [e.TOPIC for e in events if e.TOPIC.startswith("client.")]
        assert [event(await clients.next())["type"] for _ in expected] == expected
        expected = [e.TOPIC for e in events if e.TOPIC.endswith(".added")]
        assert [event(await plans.next())["type"] for _ in expected] == expected
    assert clients.messages.empty()
    assert plans.messages.empty()


async def test_what_happens_while_it_runs_goes_out_within_a_second(
    rest: Rest, club: Club, channel: AbstractChannel
) -> None:
    subscriber = await Subscriber.on(channel)
    async with relaying(club):
        await subscriber.until(await add_exercise(rest, "To warm up"))
        for number in range(5):
            began = time.monotonic()
            position = await add_exercise(rest, f"Exercise {number}")
            await subscriber.until(position)
            assert time.monotonic() - began < 1


async def test_while_the_database_is_read_only_it_waits(
    rest: Rest, club: Club, channel: AbstractChannel
) -> None:
    subscriber = await Subscriber.on(channel)
    async with relaying(club) as running:
        await subscriber.until(await add_exercise(rest, "Before"))
        with capture_logs() as logs:
            await read_only(club.postgres.url, on=True)
            await until(partial(_lost, logs), "it has lost what it writes to")
            assert not running.done()
            await read_only(club.postgres.url, on=False)
        await until(partial(takes_writes, club), "the club can write again")
        await subscriber.until(await add_exercise(rest, "After"))


async def _lost(logs: list[Any]) -> bool:
    return any("read-only" in str(line.get("reason")) for line in logs)


async def test_nobody_has_to_listen(rest: Rest, club: Club, channel: AbstractChannel) -> None:
    async with relaying(club):
        await add_exercise(rest, "Squat")
        await caught_up(club)
        subscriber = await Subscriber.on(channel)
        position = await add_exercise(rest, "Lunge")
        assert (await subscriber.until(position))[-1] == position


# --- what breaks ----------------------------------------------------------------------------------


async def test_it_goes_on_where_it_was_when_it_starts_again(
    rest: Rest, club: Club, channel: AbstractChannel
) -> None:
    subscriber = await Subscriber.on(channel)
    async with relaying(club):
        first = await subscriber.until(await add_exercise(rest, "Squat"))
        await caught_up(club)
    position = await add_exercise(rest, "Lunge")
    async with relaying(club):
        assert first + await subscriber.until(position) == list(range(1, position + 1))


async def test_after_a_cut_it_goes_on_without_a_hole(
    rest: Rest, club: Club, database: str, channel: AbstractChannel, amqp_url: str
) -> None:
    subscriber = await Subscriber.on(channel)
    async with Wire.before(amqp_url) as wire:
        settings = club.settings.model_copy(update={"amqp_url": wire.url})
        async with relaying(replace(club, settings=settings)):
            found = await subscriber.until(await add_exercise(rest, "Squat"))
            for title in ("Lunge", "Plank"):
                wire.cut()
                found += await subscriber.until(await add_exercise(rest, title))
            await caught_up(club)
    assert without_holes(found)
    assert found[-1] == await club.ledger.head()


async def test_what_was_not_confirmed_goes_out_again_after_it_was_killed(
    rest: Rest, club: Club, database: str, channel: AbstractChannel, amqp_url: str
) -> None:
    subscriber = await Subscriber.on(channel)
    async with Wire.before(amqp_url) as wire:
        settings = club.settings.model_copy(update={"amqp_url": wire.url})
        killed = asyncio.create_task(run_relay(replace(club, settings=settings), asyncio.Event()))
        confirmed = await add_exercise(rest, "Squat")
        found = await subscriber.until(confirmed)
        await caught_up(club)
        wire.lose_answers()
        head = await add_exercise(rest, "Lunge")
        found += await subscriber.until(head)  # RabbitMQ has it, and says so in vain
        assert wire.sent
        assert await relay_lag(club.postgres, RELAY) == head - confirmed
        killed.cancel()
        await asyncio.wait({killed}, timeout=PATIENCE)
    async with relaying(club):
        found += await subscriber.until(head)
        await caught_up(club)
    assert found == [*range(1, head + 1), *range(confirmed + 1, head + 1)]


async def test_it_survives_a_restart_of_rabbitmq(rest: Rest, club: Club) -> None:
    with private_rabbitmq() as server:
        settings = club.settings.model_copy(update={"amqp_url": server.url})
        async with await aio_pika.connect(server.url) as connection:
            channel = await connection.channel()
            own = await channel.declare_queue("follower", durable=True)
            await own.bind(await declare_events(channel), "#")
        async with relaying(replace(club, settings=settings)):
            await add_exercise(rest, "Squat")
            await caught_up(club)
            await asyncio.to_thread(server.stop)
            head = await add_exercise(rest, "Lunge")
            await asyncio.to_thread(server.start)
            await caught_up(club)
        async with await aio_pika.connect(server.url) as connection:
            subscriber = await Subscriber.on(await connection.channel(), queue="follower")
            found = await subscriber.until(head)
    assert without_holes(found)
    assert found[-1] == head


async def test_of_two_relays_one_works_and_the_other_takes_over(
    rest: Rest, club: Club, database: str, channel: AbstractChannel
) -> None:
    subscriber = await Subscriber.on(channel)
    first = asyncio.create_task(run_relay(club, closing := asyncio.Event()))
    found = await subscriber.until(await add_exercise(rest, "Squat"))
    async with relaying(club) as second:
        found += await subscriber.until(await add_exercise(rest, "Lunge"))
        await caught_up(club)
        closing.set()
        await asyncio.wait_for(first, PATIENCE)
        head = await add_exercise(rest, "Plank")
        found += await subscriber.until(head)
        assert not second.done()
    assert found == list(range(1, head + 1))


async def test_a_relay_that_waits_for_its_turn_ends_when_it_is_asked_to(
    rest: Rest, club: Club, database: str
) -> None:
    async with await club.postgres.connect(autocommit=True) as other:
        await other.execute(
            "SELECT pg_advisory_lock(hashtextextended('club relay ' || %s, 0))", [RELAY]
        )
        waiting = asyncio.create_task(run_relay(club, closing := asyncio.Event()))
        await add_exercise(rest, "Squat")
        looks = club.parts.here

        async def waits() -> bool:
            return [part.name for part in looks() if part.name == "relay"] == ["relay"]

        await until(waits, "it follows")
        assert await relay_lag(club.postgres, RELAY) is None
        closing.set()
        done, _ = await asyncio.wait({waiting}, timeout=5)
        waiting.cancel()
        assert done


async def test_it_leaves_nothing_behind_when_it_is_killed(
    rest: Rest, club: Club, caplog: pytest.LogCaptureFixture
) -> None:
    killed = asyncio.create_task(run_relay(club, asyncio.Event()))
    await add_exercise(rest, "Squat")
    await caught_up(club)
    killed.cancel()
    await asyncio.wait({killed}, timeout=PATIENCE)
    left = [task for task in asyncio.all_tasks() if "relay" in repr(task.get_coro())]
    assert left == []
    del killed  # its end refers to all that it had started
    gc.collect()
    assert [said.getMessage() for said in caplog.records if said.name == "asyncio"] == []


async def test_others_may_declare_the_exchange_as_it_is(channel: AbstractChannel) -> None:
    await declare_events(channel)
    exchange = await channel.declare_exchange(
        EVENTS_EXCHANGE, aio_pika.ExchangeType.TOPIC, durable=True
    )
    assert exchange.name == "club.events"
