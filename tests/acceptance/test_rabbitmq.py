"""`club run`, `club consumer` and `club relay` as processes, on a RabbitMQ that is not well."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import aio_pika
import httpx
import psycopg
import pytest

from interfaces.amqp.outlet import BLOCKED, SILENT
from interfaces.amqp.topology import PAYMENTS_QUEUE
from tests.acceptance.service import CLUB, Service, launched, until
from tests.rabbitmq import RabbitMQServer, private_rabbitmq

Services = Callable[..., Service]


@pytest.fixture(scope="module")
def broker() -> Iterator[RabbitMQServer]:
    """A RabbitMQ in which `payment_queue` is a classic queue."""
    with private_rabbitmq() as private:
        asyncio.run(_declare_otherwise(private.url))
        yield private


async def _declare_otherwise(url: str) -> None:
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        classic = {"x-queue-type": "classic"}
        await channel.declare_queue(PAYMENTS_QUEUE, durable=True, arguments=classic)  # type: ignore[arg-type]


async def _delete(url: str) -> None:
    async with await aio_pika.connect(url) as connection:
        await (await connection.channel()).queue_delete(PAYMENTS_QUEUE)


@contextmanager
def running(service: Service, name: str, log: Path) -> Iterator[None]:
    """A part as a process of its own."""
    process = launched([CLUB, name], service.environment, log)
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0, log.read_text()


WELL = {"commands": "", "payments": "", "relay": ""}
OTHERWISE = (
    f"the queue {PAYMENTS_QUEUE} is declared otherwise: its x-queue-type is classic, "
    "and the club needs quorum"
)


def _until_they_say(database: str, parts: dict[str, str]) -> None:
    """Return once the parts over RabbitMQ say this to everybody; they say nothing when well."""
    until(lambda: _said(database) == parts, str(parts))


def _said(database: str) -> dict[str, str]:
    with psycopg.connect(database) as connection:
        cursor = connection.execute(
            "SELECT name, detail FROM parts WHERE name IN ('commands', 'payments', 'relay')"
        )
        return dict(cursor.fetchall())


def test_commands_are_served_while_consumers_and_relay_say_what_is_wrong_with_rabbitmq(
    services: Services, broker: RabbitMQServer, database: str, tmp_path: Path
) -> None:
    service = services(CLUB_AMQP_URL=broker.url, CLUB_DATABASE_URL=database)
    service.start([CLUB, "run", "--no-amqp"])
    admin = service.admin()

    they_say = partial(_until_they_say, database)

    def add(title: str) -> None:
        found = httpx.post(f"{service.url}/exercises/", json={"title": title}, headers=admin)
        assert found.status_code == 201, found.text

    log = tmp_path / "consumer.log"
    with running(service, "consumer", log), running(service, "relay", tmp_path / "relay.log"):
        they_say(WELL | {"payments": OTHERWISE})
        assert OTHERWISE in log.read_text()
        add("Squat")
        asyncio.run(_delete(broker.url))
        they_say(WELL)
        broker.run_short()
        they_say(dict.fromkeys(WELL, BLOCKED))
        add("Lunge")
        broker.have_enough()
        they_say(WELL)
        broker.freeze()
        they_say(dict.fromkeys(WELL, SILENT))
        add("Plank")
        broker.thaw()
        they_say(WELL)
