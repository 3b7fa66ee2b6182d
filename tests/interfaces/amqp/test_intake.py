"""Taking messages from a queue: done, tried later or parked, and never acknowledged before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

import aio_pika
import aiormq
import pytest
from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage

from interfaces.amqp import intake
from interfaces.amqp.cloudevents import Unusable
from interfaces.amqp.envelope import ATTEMPT
from interfaces.amqp.intake import MOST_FAULTS, PAUSES, PREFETCH, Intake, Later, Unavailable
from interfaces.amqp.parking import open_parking
from interfaces.amqp.topology import DELAYS, PARKING_QUEUE, PAYMENTS_QUEUE, declare, retry_queue
from tests.interfaces.amqp.post import wait_for
from tests.rabbitmq import waiting_in
from tests.waiting import until


@dataclass
class Handler:
    """Does with each message what the test says; remembers which it got."""

    do: Callable[[AbstractIncomingMessage], Awaitable[None]] | None = None
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    """Where there is nothing else to do, messages are in hand until it is open."""
    got: list[bytes] = field(default_factory=list)
    redelivered: list[bool] = field(default_factory=list)
    done: list[bytes] = field(default_factory=list)

    async def __call__(self, message: AbstractIncomingMessage) -> None:
        self.got.append(message.body)
        self.redelivered.append(bool(message.redelivered))
        await (self.gate.wait() if self.do is None else self.do(message))
        self.done.append(message.body)

    async def gets(self, number: int) -> None:
        """Return once it got so many."""
        await self._comes_to(self.got, number, f"{number} messages in hand")

    async def does(self, number: int) -> None:
        """Return once it has done so many."""
        await self._comes_to(self.done, number, f"{number} messages done")

    async def _comes_to(self, messages: list[bytes], number: int, what: str) -> None:
        async def enough() -> bool:
            return len(messages) >= number

        await until(enough, what)


class Consumer:
    """An intake at work, on a connection of its own."""

    def __init__(self, url: str, handler: Handler, prefetch: int = PREFETCH) -> None:
        self._url = url
        self._handler = handler
        self.intake = Intake(PAYMENTS_QUEUE, handler, prefetch)
        self.closing = asyncio.Event()
        self.connection: AbstractConnection
        self.channel: AbstractChannel
        self.running: asyncio.Task[None]

    async def __aenter__(self) -> Consumer:
        self.connection = await aio_pika.connect(self._url)
        self.channel = await self.connection.channel(on_return_raises=True)
        self.running = asyncio.create_task(
            self.intake.run(self.channel, self._publish, self.closing)
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        self.closing.set()
        self._handler.gate.set()
        await asyncio.gather(self.running, return_exceptions=True)
        await self.connection.close()

    async def _publish(self, message: Message, queue: str) -> None:
        await self.channel.default_exchange.publish(message, queue)

    async def has_stopped(self) -> bool:
        """Whether RabbitMQ has confirmed that it delivers no more."""
        underlay = await self.channel.get_underlay_channel()
        assert isinstance(underlay, aiormq.Channel)
        return not underlay.consumers

    async def cut(self) -> None:
        """Lose the connection without a word, as by a network that fails."""
        transport = self.connection.transport
        assert transport is not None
        await transport.connection.close(ConnectionError("cut"))


@pytest.fixture
async def queue(channel: AbstractChannel) -> AbstractChannel:
    """A channel beside the consumer's, with all queues there."""
    await declare(channel)
    return channel


async def put(channel: AbstractChannel, *bodies: bytes, attempt: object = None) -> None:
    headers = {} if attempt is None else {ATTEMPT: attempt}
    for body in bodies:
        message = Message(body, headers=headers, delivery_mode=DeliveryMode.PERSISTENT)  # type: ignore[arg-type]
        await channel.default_exchange.publish(message, PAYMENTS_QUEUE)


async def later(_: AbstractIncomingMessage) -> None:
    raise Later("busy")


async def fail(_: AbstractIncomingMessage) -> None:
    raise ValueError("a fault of ours")


TEN = [b"%d" % number for number in range(10)]


@asynccontextmanager
async def with_in_hand(
    number: int, url: str, queue: AbstractChannel, handler: Handler
) -> AsyncIterator[Consumer]:
    """A consumer that has so many of ten messages in hand, and can take no more."""
    await put(queue, *TEN)
    async with Consumer(url, handler, prefetch=number) as consumer:
        await handler.gets(number)
        yield consumer


# --- done --------------------------------------------------------------------------------------


async def test_what_is_done_is_gone(amqp_url: str, queue: AbstractChannel) -> None:
    handler = Handler()
    handler.gate.set()
    await put(queue, *TEN)
    async with Consumer(amqp_url, handler):
        await handler.gets(10)
    assert handler.done == TEN
    assert await waiting_in(queue, PAYMENTS_QUEUE) == 0
    assert await waiting_in(queue, PARKING_QUEUE) == 0


async def test_only_so_many_are_in_hand_and_closing_gives_the_rest_back(
    amqp_url: str, queue: AbstractChannel
) -> None:
    handler = Handler()
    async with with_in_hand(3, amqp_url, queue, handler) as consumer:
        assert await waiting_in(queue, PAYMENTS_QUEUE) == 7
        consumer.closing.set()
        await until(consumer.has_stopped, "no more is taken")
        assert not consumer.running.done()
        handler.gate.set()
        await consumer.running
        assert handler.done == TEN[:3]
        assert await waiting_in(queue, PAYMENTS_QUEUE) == 7
    assert handler.got == TEN[:3]


async def test_what_is_in_hand_when_the_connection_is_lost_comes_again(
    amqp_url: str, queue: AbstractChannel
) -> None:
    first, second = Handler(), Handler()
    second.gate.set()
    async with with_in_hand(3, amqp_url, queue, first) as consumer:
        await consumer.cut()
        await wait_for(queue, PAYMENTS_QUEUE, 10)
        with pytest.raises(ConnectionError):
            await asyncio.wait_for(consumer.running, 5)
        assert not first.gate.is_set()
        assert still_settling() == []
    assert await waiting_in(queue, PAYMENTS_QUEUE) == 10
    async with Consumer(amqp_url, second):
        await second.gets(10)
    assert sorted(second.done) == TEN
    assert sum(second.redelivered) == 3
    assert await waiting_in(queue, PAYMENTS_QUEUE) == 0


async def test_when_another_queue_is_lost_nothing_of_this_one_goes_on_behind_its_back(
    amqp_url: str, queue: AbstractChannel
) -> None:
    handler = Handler()
    async with with_in_hand(3, amqp_url, queue, handler) as consumer:
        consumer.running.cancel()  # as the group does in which both of them run
        await asyncio.wait({consumer.running}, timeout=5)
        assert consumer.running.cancelled()
        assert still_settling() == []


def still_settling() -> list[str]:
    """Tasks that have a message in hand."""
    tasks = [repr(task.get_coro()) for task in asyncio.all_tasks()]
    return [task for task in tasks if "Intake._settle" in task]


# --- how it is ---------------------------------------------------------------------------------


async def test_it_says_that_a_message_has_been_in_hand_for_too_long(
    amqp_url: str, queue: AbstractChannel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "STUCK", 0.2)
    handler = Handler()
    async with with_in_hand(3, amqp_url, queue, handler) as consumer:
        await until(partial(says, consumer, "in hand"), "it is stuck")
        handler.gate.set()
        await handler.does(10)
        await until(partial(says, consumer, None), "it goes on")


async def test_it_says_what_it_waits_for_and_only_as_long_as_it_waits(
    amqp_url: str, queue: AbstractChannel
) -> None:
    there = asyncio.Event()

    async def do(_: AbstractIncomingMessage) -> None:
        if not there.is_set():
            raise Unavailable("The ledger is away.")

    async with Consumer(amqp_url, Handler(do)) as consumer:
        await until(partial(says, consumer, None), "it has begun")
        await put(queue, *TEN)
        await until(partial(says, consumer, "The ledger is away."), "it waits")
        there.set()
        await until(partial(says, consumer, None), "it goes on")


async def says(consumer: Consumer, why: str | None) -> bool:
    said = consumer.intake.why
    return said is None if why is None else why in (said or "")


# --- tried later -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attempt", "queue_name"),
    [
        *((tried, retry_queue(PAYMENTS_QUEUE, tried + 1)) for tried in range(len(DELAYS))),
        (100, retry_queue(PAYMENTS_QUEUE, len(DELAYS))),
        (2**63 - 1, retry_queue(PAYMENTS_QUEUE, len(DELAYS))),
        ("3", retry_queue(PAYMENTS_QUEUE, 1)),
        (-5, retry_queue(PAYMENTS_QUEUE, 1)),
    ],
)
async def test_what_cannot_be_done_now_waits_longer_each_time(
    amqp_url: str, queue: AbstractChannel, attempt: object, queue_name: str
) -> None:
    await put(queue, b"x", attempt=attempt)
    async with Consumer(amqp_url, Handler(later)):
        await wait_for(queue, queue_name)
    assert await waiting_in(queue, PAYMENTS_QUEUE) == 0


def test_delays_grow() -> None:
    assert sorted(set(DELAYS)) == list(DELAYS)
    assert len({retry_queue(PAYMENTS_QUEUE, n) for n in range(1, len(DELAYS) + 1)}) == len(DELAYS)


async def test_what_waited_comes_back_and_is_done(amqp_url: str, queue: AbstractChannel) -> None:
    async def first_later(_: AbstractIncomingMessage) -> None:
        if len(handler.got) == 1:
            raise Later

    handler = Handler(first_later)
    await put(queue, b"x")
    async with Consumer(amqp_url, handler):
        await handler.gets(2)
    assert handler.done == [b"x"]
    assert await waiting_in(queue, PAYMENTS_QUEUE) == 0


async def test_what_cannot_wait_is_given_back(amqp_url: str, queue: AbstractChannel) -> None:
    await queue.queue_delete(retry_queue(PAYMENTS_QUEUE, 1))
    await put(queue, b"x")
    async with Consumer(amqp_url, Handler(later)) as consumer:
        with pytest.raises(ConnectionError):
            await consumer.running
        await wait_for(queue, PAYMENTS_QUEUE)


# --- while what every message needs is away ----------------------------------------------------


class Outage:
    """Handles nothing until it is over."""

    def __init__(self) -> None:
        self.over = False

    async def handle(self, _: AbstractIncomingMessage) -> None:
        if not self.over:
            raise Unavailable("LedgerUnavailable")


async def test_in_an_outage_messages_wait_where_they_are_and_are_tried_again(
    amqp_url: str, queue: AbstractChannel
) -> None:
    outage = Outage()
    handler = Handler(outage.handle)
    await put(queue, *TEN)
    async with Consumer(amqp_url, handler, prefetch=5):
        await handler.gets(5 + 5)
        assert len(set(handler.got)) == 5
        assert await waiting_in(queue, PAYMENTS_QUEUE) == 5
        assert await waiting_in(queue, retry_queue(PAYMENTS_QUEUE, 1)) == 0
        outage.over = True
        await handler.does(10)
    assert sorted(handler.done) == TEN
    assert await waiting_in(queue, PAYMENTS_QUEUE) == 0


async def test_whoever_closes_in_an_outage_gives_everything_back(
    amqp_url: str, queue: AbstractChannel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "PAUSES", (600.0,))
    handler = Handler(Outage().handle)
    async with with_in_hand(5, amqp_url, queue, handler) as consumer:
        consumer.closing.set()
        async with asyncio.timeout(5):
            await consumer.running
        await wait_for(queue, PAYMENTS_QUEUE, 10)


async def test_rabbitmq_may_go_away_in_an_outage(
    amqp_url: str, queue: AbstractChannel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "PAUSES", (600.0,))
    handler = Handler(Outage().handle)
    async with with_in_hand(5, amqp_url, queue, handler) as consumer:
        await consumer.cut()
        with pytest.raises(ConnectionError):
            async with asyncio.timeout(5):
                await consumer.running
        await wait_for(queue, PAYMENTS_QUEUE, 10)


async def test_one_that_waits_while_others_are_done_gets_out_of_their_way(
    amqp_url: str, queue: AbstractChannel
) -> None:
    async def slow_by_itself(message: AbstractIncomingMessage) -> None:
        if message.body == b"slow":
            await handler.gate.wait()
            raise Unavailable("a query that takes too long")
        handler.gate.set()

    handler = Handler(slow_by_itself)
    await put(queue, b"slow", *TEN)
    async with Consumer(amqp_url, handler, prefetch=2):
        await wait_for(queue, retry_queue(PAYMENTS_QUEUE, 1))
        await handler.does(10)


async def test_after_so_long_it_waits_elsewhere(
    amqp_url: str, queue: AbstractChannel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "LONGEST_IN_HAND", 0.0)
    await put(queue, b"x")
    async with Consumer(amqp_url, Handler(Outage().handle)):
        await wait_for(queue, retry_queue(PAYMENTS_QUEUE, 1))


async def test_whoever_closes_waits_only_so_long_for_what_is_in_hand(
    amqp_url: str, queue: AbstractChannel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "LAST_WORDS", 0.2)
    handler = Handler()
    async with with_in_hand(5, amqp_url, queue, handler) as consumer:
        consumer.closing.set()
        async with asyncio.timeout(5):
            await consumer.running
        assert handler.done == []
        await consumer.connection.close()
        await wait_for(queue, PAYMENTS_QUEUE, 10)


def test_pauses_grow() -> None:
    assert sorted(set(PAUSES)) == list(PAUSES)


# --- parked ------------------------------------------------------------------------------------


async def test_a_fault_of_ours_is_tried_again_and_then_parked(
    amqp_url: str, queue: AbstractChannel
) -> None:
    handler = Handler(fail)
    await put(queue, b"new")
    await put(queue, b"tried", attempt=MOST_FAULTS - 1)
    await put(queue, b"tried often", attempt=MOST_FAULTS)
    async with Consumer(amqp_url, handler):
        await wait_for(queue, PARKING_QUEUE)
        await wait_for(queue, retry_queue(PAYMENTS_QUEUE, len(DELAYS)))
        await handler.gets(4)
        await wait_for(queue, retry_queue(PAYMENTS_QUEUE, 2))
    assert handler.got.count(b"new") == 2
    async with open_parking(amqp_url) as parking:
        (parked,) = [parked async for parked, _ in parking.messages()]
    assert (parked.body, parked.reason, parked.queue) == (b"tried often", "fault", PAYMENTS_QUEUE)
    assert "a fault of ours" not in parked.detail


async def test_however_much_there_is_to_say_of_a_message_it_is_parked(
    amqp_url: str, queue: AbstractChannel
) -> None:
    async def refuse(_: AbstractIncomingMessage) -> None:
        raise Unusable("wrong", "ü" * 1_000_000)

    await put(queue, b"x")
    async with Consumer(amqp_url, Handler(refuse)):
        await wait_for(queue, PARKING_QUEUE)
    assert await waiting_in(queue, PAYMENTS_QUEUE) == 0


async def test_one_that_is_slow_or_broken_does_not_hold_up_the_others(
    amqp_url: str, queue: AbstractChannel
) -> None:
    gate = asyncio.Event()

    async def mixed(message: AbstractIncomingMessage) -> None:
        if message.body == b"0":
            await gate.wait()
        if message.body == b"1":
            raise Unusable("wrong", "wrong")

    handler = Handler(mixed)
    await put(queue, *TEN)
    async with Consumer(amqp_url, handler):
        await wait_for(queue, PARKING_QUEUE)
        await handler.gets(10)
        assert b"0" not in handler.done
        gate.set()
    assert set(handler.done) == set(TEN) - {b"1"}


# --- the end of a channel ----------------------------------------------------------------------


async def test_an_intake_ends_when_its_queue_is_deleted(
    amqp_url: str, queue: AbstractChannel
) -> None:
    async with Consumer(amqp_url, Handler()) as consumer:
        await until(lambda: _somebody_consumes(queue), "somebody consumes")
        await queue.queue_delete(PAYMENTS_QUEUE)
        with pytest.raises(ConnectionError, match="payment_queue cannot be consumed any more"):
            await asyncio.wait_for(consumer.running, 10)


async def test_an_intake_ends_when_rabbitmq_closes_its_channel_alone(
    amqp_url: str, queue: AbstractChannel
) -> None:
    async with Consumer(amqp_url, Handler()) as consumer:
        await until(lambda: _somebody_consumes(queue), "somebody consumes")
        with pytest.raises(aio_pika.exceptions.ChannelNotFoundEntity):
            await consumer.channel.declare_queue("there is no such queue", passive=True)
        with pytest.raises(ConnectionError):
            await asyncio.wait_for(consumer.running, 10)
        assert not consumer.connection.is_closed


async def _somebody_consumes(channel: AbstractChannel) -> bool:
    declared = await channel.declare_queue(PAYMENTS_QUEUE, passive=True)
    return bool(declared.declaration_result.consumer_count)
