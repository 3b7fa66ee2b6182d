"""What is known of RabbitMQ, across everything that RabbitMQ goes through."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Iterator

import aio_pika
import pytest

from infra.local_servers import LocalRabbitMQ
from infra.rabbitmq import LONGEST_WAIT, PARKING_QUEUE, UNREACHABLE, RabbitMQ, open_rabbitmq
from tests.rabbitmq import private_rabbitmq


async def park(url: str) -> None:
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        message = aio_pika.Message(b"x", delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        await channel.default_exchange.publish(message, PARKING_QUEUE)


async def answers(rabbitmq: RabbitMQ) -> bool:
    try:
        await rabbitmq.parked()
    except UNREACHABLE:
        return False
    return True


@pytest.fixture(scope="module")
def server() -> Iterator[LocalRabbitMQ]:
    """A RabbitMQ that each test leaves running."""
    with private_rabbitmq() as private:
        yield private


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["in order", "killed"])
async def test_what_is_parked_is_counted_again_once_rabbitmq_is_back(
    server: LocalRabbitMQ, how: int
) -> None:
    async with open_rabbitmq(server.url) as rabbitmq:
        assert rabbitmq is not None
        before = await rabbitmq.parked()
        await park(server.url)
        await asyncio.to_thread(server.stop, how)
        assert not await answers(rabbitmq)
        assert not await answers(rabbitmq)
        await asyncio.to_thread(server.start)
        assert await rabbitmq.parked() == before + 1


async def test_a_rabbitmq_that_hangs_is_waited_for_only_so_long(server: LocalRabbitMQ) -> None:
    async with open_rabbitmq(server.url) as rabbitmq:
        assert rabbitmq is not None
        before = await rabbitmq.parked()
        server.signal(signal.SIGSTOP)
        begun = time.monotonic()
        looks = await asyncio.gather(*(answers(rabbitmq) for _ in range(4)))
        assert looks == [False] * 4
        assert time.monotonic() - begun < 2 * LONGEST_WAIT
        server.signal(signal.SIGCONT)
        assert await rabbitmq.parked() == before
