"""RabbitMQ for the tests: the one of CLUB_AMQP_URL, else a private one, shared by the session."""

from __future__ import annotations

import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel

from infra.servers.local_servers import LocalRabbitMQ, program
from infra.settings import Settings
from interfaces.amqp.topology import (
    DELAYS,
    EVENTS_EXCHANGE,
    INTAKES,
    PARKING_QUEUE,
    PAYMENTS_EXCHANGE,
    retry_queue,
)
from tests.servers import RABBITMQ, Freezing, private


class RabbitMQServer(Freezing, LocalRabbitMQ):
    """A RabbitMQ of the tests' own, which can be short of memory, or freeze."""

    def control(self, *words: str) -> None:
        """Have its own command line do something."""
        environment = {
            **os.environ,
            "HOME": str(self.home),
            "RABBITMQ_NODENAME": "club@localhost",
            "ERL_EPMD_PORT": str(self._names.port),
        }
        command = [program("rabbitmqctl", "rabbitmq-server"), *words]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr

    def run_short(self, what: str = "memory") -> None:
        """Let it take no more messages, as it has not enough memory, or disk."""
        if what == "memory":
            self.control("set_vm_memory_high_watermark", "0.00001")
        else:
            self.control("set_disk_free_limit", "100000GB")

    def have_enough(self) -> None:
        """Let it take messages again."""
        self.control("set_vm_memory_high_watermark", "0.6")
        self.control("set_disk_free_limit", "1MB")


def private_rabbitmq() -> AbstractContextManager[RabbitMQServer]:
    """A RabbitMQ of one's own, which may be stopped and started; stopped at the end."""
    return private(RabbitMQServer, *RABBITMQ)


@pytest.fixture(scope="session")
def rabbitmq() -> Iterator[str]:
    """The URL of a RabbitMQ; for one in which nothing is of the club yet, see `amqp_url`."""
    given = Settings().amqp_url
    if given is not None:
        yield given
        return
    with private_rabbitmq() as private:
        yield private.url


@pytest.fixture
async def amqp_url(rabbitmq: str) -> AsyncIterator[str]:
    """The URL of a RabbitMQ without any exchange or queue of the club, before and after."""
    await clear(rabbitmq)
    yield rabbitmq
    await clear(rabbitmq)


@pytest.fixture
async def channel(amqp_url: str) -> AsyncIterator[AbstractChannel]:
    """A channel of the test's own, with publisher confirms."""
    async with await aio_pika.connect(amqp_url) as connection:
        yield await connection.channel(on_return_raises=True)


async def waiting_in(channel: AbstractChannel, queue: str) -> int:
    """How many messages wait in a queue; what a consumer has in hand does not count."""
    declared = await channel.declare_queue(queue, passive=True)
    return declared.declaration_result.message_count or 0


def every_queue() -> list[str]:
    """All queues of the club but the parking queue."""
    retries = (retry_queue(name, n) for name in INTAKES for n in range(1, len(DELAYS) + 1))
    return [*INTAKES, *retries]


async def clear(url: str) -> None:
    """Delete every exchange and queue of the club, with what is in them."""
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        for name in (PARKING_QUEUE, *every_queue()):
            await channel.queue_delete(name)
        for name in (PAYMENTS_EXCHANGE, EVENTS_EXCHANGE):
            await channel.exchange_delete(name)
