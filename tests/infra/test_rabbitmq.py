"""What is known of RabbitMQ, across everything that RabbitMQ goes through."""

from __future__ import annotations

import asyncio
import gc
import signal
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import aio_pika
import pytest

from infra.bootstrap import Club, open_club
from infra.rabbitmq import (
    INTAKES,
    LONGEST_WAIT,
    PARKING_QUEUE,
    UNREACHABLE,
    RabbitMQ,
    open_rabbitmq,
)
from infra.servers.local_servers import LocalRabbitMQ, free_port
from infra.settings import Settings
from interfaces.amqp import topology
from interfaces.amqp.connections import connected
from interfaces.amqp.topology import declare
from tests.interfaces.amqp.post import consuming
from tests.rabbitmq import private_rabbitmq
from tests.waiting import until


async def park(url: str) -> None:
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        await declare(channel)
        message = aio_pika.Message(b"x", delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        await channel.default_exchange.publish(message, PARKING_QUEUE)


def test_the_queues_have_the_names_that_the_channel_gives_them() -> None:
    assert (PARKING_QUEUE, INTAKES) == (topology.PARKING_QUEUE, topology.INTAKES)


async def answers(rabbitmq: RabbitMQ) -> bool:
    try:
        await rabbitmq.queues()
    except UNREACHABLE:
        return False
    return True


async def test_a_connection_that_fails_leaves_nothing_to_whoever_collects_it() -> None:
    nowhere = f"amqp://guest:guest@127.0.0.1:{free_port()}/"
    async with open_rabbitmq(nowhere) as rabbitmq:
        assert rabbitmq is not None
        assert not await answers(rabbitmq)
        with pytest.raises(UNREACHABLE):
            async with connected(nowhere):
                pass
        await asyncio.to_thread(gc.collect)  # what it complains of fails the test


@pytest.fixture(scope="module")
def broker() -> Iterator[LocalRabbitMQ]:
    """A RabbitMQ that each test leaves running."""
    with private_rabbitmq() as private:
        yield private


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["in order", "killed"])
async def test_what_is_parked_is_counted_again_once_rabbitmq_is_back(
    broker: LocalRabbitMQ, how: int
) -> None:
    async with open_rabbitmq(broker.url) as rabbitmq:
        assert rabbitmq is not None
        before = (await rabbitmq.queues()).parked
        await park(broker.url)
        await asyncio.to_thread(broker.stop, how)
        assert not await answers(rabbitmq)
        assert not await answers(rabbitmq)
        await asyncio.to_thread(broker.start)
        assert (await rabbitmq.queues()).parked == before + 1


async def test_a_rabbitmq_that_hangs_is_waited_for_only_so_long(broker: LocalRabbitMQ) -> None:
    async with open_rabbitmq(broker.url) as rabbitmq:
        assert rabbitmq is not None
        before = (await rabbitmq.queues()).parked
        broker.signal(signal.SIGSTOP)
        begun = time.monotonic()
        looks = await asyncio.gather(*(answers(rabbitmq) for _ in range(4)))
        assert looks == [False] * 4
        assert time.monotonic() - begun < 2 * LONGEST_WAIT
        broker.signal(signal.SIGCONT)
        assert (await rabbitmq.queues()).parked == before


async def test_queues_that_nobody_consumes_are_named_and_what_waits_is_counted(
    amqp_url: str, settings: Settings
) -> None:
    async with open_club(settings.model_copy(update={"amqp_url": amqp_url})) as club:
        assert club.rabbitmq is not None
        assert (await club.rabbitmq.queues()).unserved == INTAKES, "there are none yet"
        async with await aio_pika.connect(amqp_url) as connection:
            channel = await connection.channel()
            await declare(channel)
            for name in (*INTAKES, PARKING_QUEUE):
                await channel.default_exchange.publish(aio_pika.Message(b"x"), name)
            waiting = await until(partial(_all_wait, club), "both wait")
        assert waiting == {
            "rabbitmq": {"status": "running", "parked": 1},
            "consumers": {
                "status": "unavailable",
                "lag": 2,
                "detail": "nobody consumes club.commands and payment_queue",
            },
        }
        async with consuming(club):
            await until(partial(_all_taken, club), "both are taken")


async def _components(club: Club) -> dict[str, Any]:
    components = (await club.health()).report["components"]
    return {name: components[name] for name in ("rabbitmq", "consumers")}


async def _all_wait(club: Club) -> dict[str, Any] | None:
    found = await _components(club)
    return found if (found["rabbitmq"]["parked"], found["consumers"]["lag"]) == (1, 2) else None


async def _all_taken(club: Club) -> bool:
    return await _components(club) == {
        "rabbitmq": {"status": "running", "parked": 3},
        "consumers": {"status": "running", "lag": 0},
    }
