"""A queue or an exchange that somebody declared otherwise stops what needs it, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import aio_pika
import pytest
from aio_pika import DeliveryMode, ExchangeType, Message
from aio_pika.abc import AbstractChannel

from application.exercises import AddExercise, ExerciseBody
from infra.bootstrap import Club
from infra.parts import COMMANDS, PAYMENTS, RELAY
from infra.settings import Settings
from interfaces.amqp import part, topology
from interfaces.amqp.main import run_consumers, run_relay
from interfaces.amqp.topology import (
    COMMANDS_QUEUE,
    DELIVERY_LIMIT,
    EVENTS_EXCHANGE,
    INTAKE,
    PARKING_QUEUE,
    PAYMENTS_EXCHANGE,
    PAYMENTS_QUEUE,
    QUORUM,
    WAITING,
    declare,
    retry_queue,
)
from tests.conftest import Rest
from tests.interfaces.amqp.post import wait_for
from tests.rabbitmq import RabbitMQServer, clear, private_rabbitmq, waiting_in
from tests.waiting import until

ALL = (COMMANDS, PAYMENTS, RELAY)


@pytest.fixture
def settings(settings: Settings, amqp_url: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of a club with a RabbitMQ, which looks often whether things were put right."""
    monkeypatch.setattr(part, "LOOKED_AGAIN", 0.5)
    return settings.model_copy(update={"amqp_url": amqp_url})


@asynccontextmanager
async def working(club: Club) -> AsyncIterator[None]:
    """Consumers and relay at work."""
    closing = asyncio.Event()
    tasks = [asyncio.create_task(run(club, closing)) for run in (run_consumers, run_relay)]
    try:
        yield
    finally:
        closing.set()
        await asyncio.gather(*tasks)


def standing(club: Club) -> dict[str, str]:
    """The parts that stand still, and why."""
    return {one.name: one.detail for one in club.parts.here() if one.status == "standing"}


async def stand_still(club: Club, *names: str, why: str = "") -> None:
    """Return once exactly these stand still, of all there are, and say so."""

    async def these() -> bool:
        found = standing(club)
        there = {one.name for one in club.parts.here()}
        return (
            {*found} == {*names} and all(why in said for said in found.values()) and {*ALL} <= there
        )

    await until(these, f"{names or 'none'} stand still")


async def goes_out(club: Club, rest: Rest, channel: AbstractChannel) -> None:
    """See that commands are served, and that the relay publishes."""
    own = await channel.declare_queue(exclusive=True)
    await own.bind(EVENTS_EXCHANGE, "exercise.added")
    await rest.do(AddExercise(ExerciseBody(title=f"Squat {own.name}")))

    async def came() -> bool:
        return await waiting_in(channel, own.name) > 0

    await until(came, "an event comes out")


Declare = Callable[[AbstractChannel], Awaitable[object]]


def queue(name: str, *, durable: bool = True, **arguments: object) -> Declare:
    """Declare a queue like this."""
    given = {key.replace("_", "-"): value for key, value in arguments.items()}
    return lambda channel: channel.declare_queue(name, durable=durable, arguments=given)  # type: ignore[arg-type]


def exchange(name: str, kind: ExchangeType, *, durable: bool = True) -> Declare:
    """Declare an exchange like this."""
    return lambda channel: channel.declare_exchange(name, kind, durable=durable)


BACK = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": PAYMENTS_QUEUE}
RETRY = retry_queue(PAYMENTS_QUEUE, 2)
CASES: dict[str, tuple[Declare, str, str, Sequence[str]]] = {
    "a classic queue": (
        queue(PAYMENTS_QUEUE, x_queue_type="classic"), PAYMENTS_QUEUE, "x-queue-type is classic",
        [PAYMENTS],
    ),
    "one of no kind": (
        queue(COMMANDS_QUEUE), COMMANDS_QUEUE, "x-queue-type is not set", [COMMANDS],
    ),
    "one that a restart empties": (
        queue(COMMANDS_QUEUE, durable=False), COMMANDS_QUEUE, "durable is false", [COMMANDS],
    ),
    "one that throws away": (
        queue(PAYMENTS_QUEUE, x_max_length=5, **INTAKE), PAYMENTS_QUEUE, "x-max-length is 5",
        [PAYMENTS],
    ),
    "one that drops what comes back": (
        queue(PAYMENTS_QUEUE, **{**INTAKE, DELIVERY_LIMIT: 20}), PAYMENTS_QUEUE,
        "x-delivery-limit is 20", [PAYMENTS],
    ),
    "a retry queue that keeps its messages": (
        queue(RETRY, **{**WAITING, **BACK}), RETRY, "x-message-ttl is not set", [PAYMENTS],
    ),
    "the parking queue": (
        queue(PARKING_QUEUE, **QUORUM), PARKING_QUEUE, "x-queue-type is quorum",
        [COMMANDS, PAYMENTS],
    ),
    "the exchange of payments": (
        exchange(PAYMENTS_EXCHANGE, ExchangeType.FANOUT), PAYMENTS_EXCHANGE, "type is fanout",
        [PAYMENTS],
    ),
    "the exchange of events": (
        exchange(EVENTS_EXCHANGE, ExchangeType.TOPIC, durable=False), EVENTS_EXCHANGE,
        "durable is false", [RELAY],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
async def test_only_what_needs_it_stands_still_and_says_what_differs_until_it_is_put_right(
    rest: Rest, club: Club, channel: AbstractChannel, case: str
) -> None:
    otherwise, name, differs, parts = CASES[case]
    await otherwise(channel)
    async with working(club):
        await stand_still(club, *parts, why=f" {name} is declared otherwise: its {differs}, and")
        if RELAY in parts:
            await rest.do(AddExercise(ExerciseBody(title="Squat")))
        else:
            await goes_out(club, rest, channel)
        await channel.queue_delete(name)
        await channel.exchange_delete(name)
        await stand_still(club)
        await goes_out(club, rest, channel)


async def test_a_queue_of_another_release_that_loses_nothing_is_used_as_it_is(
    rest: Rest, club: Club, channel: AbstractChannel
) -> None:
    await queue(PAYMENTS_QUEUE, **{**INTAKE, DELIVERY_LIMIT: 5_000})(channel)
    await queue(COMMANDS_QUEUE, **{**INTAKE, DELIVERY_LIMIT: -1})(channel)
    async with working(club):
        await stand_still(club)


async def test_other_delays_work_beside_the_queues_that_exist(
    club: Club, channel: AbstractChannel, monkeypatch: pytest.MonkeyPatch
) -> None:
    await declare(channel)
    old = retry_queue(PAYMENTS_QUEUE, 1)
    monkeypatch.setattr(topology, "DELAYS", (2, 7))
    async with working(club):
        await stand_still(club)
        message = Message(b"{", delivery_mode=DeliveryMode.PERSISTENT)
        for name in (old, retry_queue(PAYMENTS_QUEUE, 1)):
            await channel.default_exchange.publish(message, name)
        await wait_for(channel, PARKING_QUEUE, 2)
    assert retry_queue(PAYMENTS_QUEUE, 1) == "payment_queue.retry.2s"
    for name in ("payment_queue.retry.7s", "club.commands.retry.2s"):
        await channel.queue_delete(name)
    await channel.queue_delete("payment_queue.retry.2s")
    await channel.queue_delete("club.commands.retry.7s")


async def test_a_queue_that_is_deleted_while_it_is_consumed_is_made_again(
    rest: Rest, club: Club, channel: AbstractChannel
) -> None:
    async with working(club):
        await stand_still(club)
        await channel.queue_delete(PAYMENTS_QUEUE)
        await until(lambda: _is_there(club, PAYMENTS_QUEUE), "it is there again")
        await stand_still(club)
        await channel.default_exchange.publish(Message(b"{"), PAYMENTS_QUEUE)
        await wait_for(channel, PARKING_QUEUE)


async def _is_there(club: Club, name: str) -> bool:
    assert club.settings.amqp_url is not None
    async with await aio_pika.connect(club.settings.amqp_url) as connection:
        own = await connection.channel()
        try:
            found = await own.declare_queue(name, passive=True)
        except aio_pika.exceptions.ChannelNotFoundEntity:
            return False
        return bool(found.declaration_result.consumer_count)


# --- what only the machine that RabbitMQ runs on can do ----------------------------------------


@pytest.fixture(scope="module")
def broker() -> Iterator[RabbitMQServer]:
    """A RabbitMQ with a clerk, who may do everything in the beginning."""
    with private_rabbitmq() as private:
        private.control("add_user", "clerk", "clerk")
        yield private


@pytest.fixture
async def clerk(club: Club, broker: RabbitMQServer) -> Club:
    """The club, as the clerk."""
    await clear(broker.url)
    broker.control("set_permissions", "clerk", ".*", ".*", ".*")
    url = broker.url.replace("guest:guest", "clerk:clerk")
    return replace(club, settings=club.settings.model_copy(update={"amqp_url": url}))


async def test_a_queue_that_the_account_may_not_read_stops_its_own_intake_only(
    rest: Rest, clerk: Club, broker: RabbitMQServer
) -> None:
    broker.control("set_permissions", "clerk", ".*", ".*", "^(?!payment_queue$).*")
    async with await aio_pika.connect(broker.url) as connection, working(clerk):
        await stand_still(clerk, PAYMENTS, why="access to queue 'payment_queue'")
        await goes_out(clerk, rest, await connection.channel())
        broker.control("set_permissions", "clerk", ".*", ".*", ".*")
        await stand_still(clerk)


async def test_an_account_that_may_publish_only_where_it_has_to_works(
    rest: Rest, clerk: Club, broker: RabbitMQServer
) -> None:
    broker.control("set_permissions", "clerk", ".*", "^club.events$", ".*")
    closing = asyncio.Event()
    relaying = asyncio.create_task(run_relay(clerk, closing))
    async with await aio_pika.connect(broker.url) as connection:
        await until(lambda: _runs(clerk, RELAY), "the relay works")
        await goes_out(clerk, rest, await connection.channel())
        assert await _runs(clerk, RELAY)
    closing.set()
    await relaying


async def _runs(club: Club, name: str) -> bool:
    return [one.status for one in club.parts.here() if one.name == name] == ["running"]


async def test_a_policy_that_leaves_no_room_for_what_is_parked_keeps_it_in_hand(
    clerk: Club, broker: RabbitMQServer
) -> None:
    limits = '{"max-length": 0, "overflow": "reject-publish"}'
    broker.control("set_policy", "full", f"^{PARKING_QUEUE}$", limits, "--apply-to", "queues")
    async with await aio_pika.connect(broker.url) as connection, working(clerk):
        await stand_still(clerk)
        channel = await connection.channel()
        await channel.default_exchange.publish(Message(b"{"), PAYMENTS_QUEUE)
        await stand_still(clerk, PAYMENTS, why=f"{PARKING_QUEUE} takes no messages")
        broker.control("clear_policy", "full")
        await wait_for(channel, PARKING_QUEUE)
        await stand_still(clerk)
        assert await waiting_in(channel, PAYMENTS_QUEUE) == 0
