"""RabbitMQ takes no messages, or freezes: it is said, nothing is lost or piles up, all goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import aio_pika
import pytest
from structlog.testing import capture_logs

from application.exercises import AddExercise, ExerciseBody
from infra.bootstrap import Club
from infra.following.relaying import BATCH
from infra.parts import COMMANDS, PAYMENTS, RELAY
from infra.settings import Settings
from interfaces.amqp.main import run_relay
from interfaces.amqp.outlet import BLOCKED
from interfaces.amqp.topology import PARKING_QUEUE, PAYMENTS_QUEUE, declare
from tests.interfaces.amqp.post import Post, consuming, opened_post, wait_for
from tests.interfaces.amqp.test_relay import Subscriber, caught_up, relaying, without_holes
from tests.rabbitmq import RabbitMQServer, clear, private_rabbitmq, waiting_in
from tests.waiting import until

ALL = (COMMANDS, PAYMENTS, RELAY)
PATIENCE = 60.0


@pytest.fixture(scope="module")
def broker() -> Iterator[RabbitMQServer]:
    """A RabbitMQ of these tests' own."""
    with private_rabbitmq() as private:
        yield private


@pytest.fixture
async def post(settings: Settings, broker: RabbitMQServer) -> AsyncIterator[Post]:
    """A club on it, and a provider."""
    await asyncio.to_thread(broker.have_enough)
    await clear(broker.url)
    async with await aio_pika.connect(broker.url) as connection:
        channel = await connection.channel(on_return_raises=True)
        await declare(channel)
        async with opened_post(settings, broker.url, channel) as opened:
            yield opened


async def say(club: Club, why: str | None, *names: str) -> None:
    """Return once these parts say that they stand still for this, or that they work."""

    async def said() -> bool:
        parts = {one.name: one for one in club.parts.here()}
        if not parts.keys() >= {*names}:
            return False
        if why is None:
            return all(parts[name].status == "running" for name in names)
        return all(parts[name].detail == why for name in names)

    await until(said, f"{', '.join(names)}: {why}", PATIENCE)


async def exercise(club: Post, title: str) -> None:
    await club.do(AddExercise(ExerciseBody(title=title)))


@pytest.mark.parametrize("what", ["memory", "disk"])
async def test_while_rabbitmq_is_short_of_something_the_relay_says_so_and_publishes_nothing_twice(
    post: Post, broker: RabbitMQServer, what: str
) -> None:
    subscriber = await Subscriber.on(post.channel)

    async def nobody_waits() -> bool:
        return await post.rows(_IN_A_TRANSACTION) == []

    with capture_logs() as logs:
        async with relaying(post.club):
            await caught_up(post.club)
            await asyncio.to_thread(broker.run_short, what)
            await exercise(post, "Squat")
            await say(post.club, BLOCKED, RELAY)
            for number in range(20):
                await exercise(post, f"Exercise {number}")
            await until(nobody_waits, "nobody waits in a transaction for RabbitMQ")
            await asyncio.to_thread(broker.have_enough)
            await say(post.club, None, RELAY)
            await caught_up(post.club)
            head = await post.club.ledger.head()
            found = await subscriber.until(head)
    assert without_holes(found)
    assert found[-1] == head
    assert len(found) - len(set(found)) <= BATCH
    assert subscriber.messages.empty()
    assert "terminating connection" not in str(logs)


_IN_A_TRANSACTION = """
SELECT query FROM pg_stat_activity
WHERE datname = current_database() AND state = 'idle in transaction'
"""


async def test_consumers_go_on_with_what_needs_no_publishing_and_the_rest_waits(
    post: Post, broker: RabbitMQServer
) -> None:
    payments = [await post.payment() for _ in range(3)]
    for payment_id, _ in payments:
        await post.send(post.news(payment_id))
    await post.send(b"{")
    await wait_for(post.channel, PAYMENTS_QUEUE, 4)
    await asyncio.to_thread(broker.run_short)
    async with consuming(post.club):
        await say(post.club, BLOCKED, COMMANDS, PAYMENTS)
        for payment_id, _ in payments:
            await post.reaches(payment_id, "PAID")
        await asyncio.to_thread(broker.have_enough)
        await say(post.club, None, COMMANDS, PAYMENTS)
        await wait_for(post.channel, PARKING_QUEUE)
    assert await waiting_in(post.channel, PAYMENTS_QUEUE) == 0
    assert len(await post.parked()) == 1
    assert await post.happened("payment.settled") == 3


@pytest.mark.parametrize("heartbeat", ["", "?heartbeat=1"], ids=["soon awake", "given up"])
async def test_while_rabbitmq_is_frozen_all_say_so_and_go_on_once_it_is_awake(
    post: Post, broker: RabbitMQServer, heartbeat: str
) -> None:
    subscriber = await Subscriber.on(post.channel)
    settings = post.club.settings.model_copy(update={"amqp_url": f"{broker.url}{heartbeat}"})
    club = replace(post.club, settings=settings)
    payment_id, _ = await post.payment()
    async with consuming(club), relaying(club):
        await caught_up(club)
        await say(club, None, *ALL)
        broker.freeze()
        try:
            await exercise(post, "Squat")
            await say(club, "RabbitMQ does not answer", *ALL)
            await exercise(post, "Lunge")
        finally:
            broker.thaw()
        await say(club, None, *ALL)
        await caught_up(club)
        head = await club.ledger.head()
        found = await subscriber.until(head)
        await post.send(post.news(payment_id))
        await post.reaches(payment_id, "PAID")
    assert without_holes(found)
    assert len(found) - len(set(found)) <= BATCH


async def test_where_there_is_no_rabbitmq_each_part_says_so_and_begins_once_there_is_one(
    post: Post, broker: RabbitMQServer
) -> None:
    await asyncio.to_thread(broker.stop)
    async with consuming(post.club), relaying(post.club):
        await say(post.club, "RabbitMQ cannot be reached", *ALL)
        first = {one.name: one.since for one in post.club.parts.here()}
        await exercise(post, "Squat")
        assert {one.name: one.since for one in post.club.parts.here()} == first
        await asyncio.to_thread(broker.start)
        await say(post.club, None, *ALL)
        await caught_up(post.club)


async def test_a_relay_that_waits_for_anothers_turn_is_well(post: Post) -> None:
    closing = asyncio.Event()
    async with relaying(post.club), await post.club.postgres.connect(autocommit=True) as older:
        await older.execute(
            "SELECT pg_advisory_lock(hashtextextended('club relay club.events', 0))"
        )
        waiting = asyncio.create_task(run_relay(post.club, closing))
        await exercise(post, "Squat")
        await say(post.club, None, RELAY)
        closing.set()
        await waiting


async def test_what_health_asks_knows_that_no_message_is_taken(
    post: Post, broker: RabbitMQServer
) -> None:
    assert post.club.rabbitmq is not None
    assert not (await post.club.rabbitmq.queues()).blocked
    await asyncio.to_thread(broker.run_short)

    async def is_blocked() -> bool:
        assert post.club.rabbitmq is not None
        return (await post.club.rabbitmq.queues()).blocked

    await until(is_blocked, "it is known")
    assert (await post.club.rabbitmq.queues()).waiting == 0, "and the queues are still seen"
    await asyncio.to_thread(broker.have_enough)

    async def takes() -> bool:
        return not await is_blocked()

    await until(takes, "it is known that it takes some again")
