"""One ledger and one RabbitMQ, and how far whatever runs between them has come."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import aio_pika
import psycopg

from infra.bootstrap import make_club
from infra.settings import Settings
from interfaces.amqp.topology import declare
from tests.benchmarks.postgres import checkpoint
from tests.benchmarks.servers import ROOT, STARTUP_SECONDS, Broken, club, process

PATIENCE = 120.0
TOGETHER = 1_000


class Broker:
    """A database of the club's and a RabbitMQ, and processes that work on both."""

    def __init__(self, database: str, home: Path, rabbitmq_url: str) -> None:
        self.database = database
        self.url = rabbitmq_url
        self._home = home
        asyncio.run(make_club(Settings(database_url=database, home=home)))
        self._environment = {
            "CLUB_DATABASE_URL": database,
            "CLUB_AMQP_URL": rabbitmq_url,
            "CLUB_HOME": str(home),
        }

    def club(self, *arguments: str) -> str:
        """Run our command line to its end; what it printed."""
        return club(arguments, self._environment)

    def running(
        self, command: Sequence[str], name: str
    ) -> AbstractContextManager[subprocess.Popen[bytes]]:
        """A process on both, until the block is left."""
        return process(command, self._environment, self._home.with_name(f"{name}.log"))

    def bare(self, *arguments: str) -> float:
        """The seconds that a program which only talks to RabbitMQ says that it took."""
        command = [sys.executable, "-m", "tests.benchmarks.bare", self.url, *arguments]
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        if done.returncode:
            raise Broken(arguments, done.stderr)
        return float(done.stdout)

    def rest(self) -> None:
        """Let Postgres write out what was left behind, so that nobody pays for it."""
        checkpoint(self.database)

    def number(self, sql: str) -> int:
        """The one number that a query answers."""
        with psycopg.connect(self.database, autocommit=True) as connection:
            return _number(connection, sql)

    def come_to(self, goal: int, sql: str, alive: Callable[[], bool]) -> int:
        """Return as soon as the query answers so much; what it answers."""
        give_up = time.monotonic() + PATIENCE
        with psycopg.connect(self.database, autocommit=True) as connection:
            while (found := _number(connection, sql)) < goal:
                if not alive() or time.monotonic() > give_up:
                    raise Broken([sql], f"came to {found} of {goal} only")
                time.sleep(0.01)
        return found

    async def publish(self, messages: Sequence[aio_pika.Message], queue: str) -> None:
        """Put messages into a queue of the club's."""
        async with await aio_pika.connect(self.url) as connection:
            channel = await connection.channel()
            await declare(channel)
            for first in range(0, len(messages), TOGETHER):
                together = messages[first : first + TOGETHER]
                await asyncio.gather(
                    *(channel.default_exchange.publish(message, queue) for message in together)
                )

    async def left_in(self, queue: str) -> int:
        """Messages that wait."""
        async with await aio_pika.connect(self.url) as connection:
            channel = await connection.channel()
            found = await channel.declare_queue(queue, passive=True)
            return found.declaration_result.message_count or 0

    async def is_consumed(self, queue: str) -> None:
        """Return as soon as somebody consumes it."""
        async with (
            asyncio.timeout(STARTUP_SECONDS),
            await aio_pika.connect(self.url) as connection,
        ):
            channel = await connection.channel()
            while True:
                found = await channel.declare_queue(queue, passive=True)
                if found.declaration_result.consumer_count:
                    return
                await asyncio.sleep(0.005)


def _number(connection: psycopg.Connection, sql: str) -> int:
    row = connection.execute(sql.encode()).fetchone()
    assert row is not None
    return int(row[0])
