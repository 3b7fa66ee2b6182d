"""A chain for tests: a broker, a few clubs, the chain's own Postgres, and all its processes."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

from infra.chain import clubs
from infra.chain.store import open_chain
from tests.kafka import KafkaServer, private_kafka

CLUB = Path(sys.executable).with_name("club")
PATIENCE = 150.0


def until(condition: Callable[[], Any], what: Callable[[], str]) -> None:
    """Wait until it is so."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, what()
        time.sleep(0.1)


def ask(database: str, sql: str, *params: Any) -> list[tuple[Any, ...]]:
    """The rows of a query, and its changes committed."""
    with psycopg.connect(database, autocommit=True) as connection:
        cursor = connection.execute(sql.encode(), params)
        return cursor.fetchall() if cursor.description else []


class Chain:
    """A chain of a few clubs, whose processes are started, killed and frozen."""

    def __init__(self, kafka: KafkaServer, database: str, clubs: Sequence[str], home: Path) -> None:
        self.kafka = kafka
        self.database = database
        self.clubs = list(clubs)
        """The databases of its clubs."""
        self._home = home
        self._running: list[subprocess.Popen[bytes]] = []
        self.publishers: list[subprocess.Popen[bytes]] = []
        self.workers: list[subprocess.Popen[bytes]] = []
        self._again = 0

    def environment(self, **settings: str) -> dict[str, str]:
        """What a process of the chain is started with."""
        outside = {name: v for name, v in os.environ.items() if not name.startswith("CLUB_")}
        return {
            **outside,
            "CLUB_HOME": str(self._home),
            "CLUB_KAFKA_URL": self.kafka.url,
            "CLUB_KAFKA_IDEMPOTENCE": "false",
            "CLUB_KAFKA_PARTITIONS": "8",
            "CLUB_CHAIN_DATABASE_URL": self.database,
            **settings,
        }

    def start(self, *arguments: str, **settings: str) -> subprocess.Popen[bytes]:
        """A process of the chain; what it says is logged."""
        number = len(self._running) + 1
        with (self._home / f"{number}-{arguments[0]}.log").open("wb") as log:
            started = subprocess.Popen(
                [CLUB, *arguments],
                env=self.environment(**settings),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._running.append(started)
        return started

    def ended(self) -> list[int]:
        """With what those of its workers ended that were not killed, and run no more."""
        return [code for worker in self.workers if (code := worker.poll()) not in (None, -9, 0)]

    def publish(self, club: str) -> subprocess.Popen[bytes]:
        """A publisher of a club's."""
        self.publishers.append(self.start("publish", CLUB_DATABASE_URL=club))
        return self.publishers[-1]

    def work(self) -> subprocess.Popen[bytes]:
        """A worker."""
        self.workers.append(self.start("stream"))
        return self.workers[-1]

    def run_again(self) -> None:
        """Start a worker for each that ended, as whoever runs them does."""
        for _ in range(len(self.ended()) - self._again):
            self._again += 1
            self.work()

    def join(self, club: str) -> None:
        """Have a club in the chain, which is made where there is none."""

        async def joined() -> None:
            async with open_chain(self.database, building=True) as store:
                await clubs.add(store, f"club-{self.clubs.index(club) + 1}", club)

        asyncio.run(joined())

    def heads(self) -> list[int]:
        """Where the ledgers end."""
        sql = "SELECT coalesce(max(notification_id), 0) FROM ledger_events"
        return [ask(club, sql)[0][0] for club in self.clubs]

    def positions(self) -> list[int]:
        """How far the chain has them, in the group that is furthest behind."""
        sql = """
            SELECT min(coalesce(position, 0)) FROM chain_clubs
            LEFT JOIN chain_positions ON club = number GROUP BY number ORDER BY number
        """
        return [row[0] for row in ask(self.database, sql)]

    def ledgers_are_not_asked(self) -> None:
        """Have workers take what Kafka brings alone, until `ledgers_are_asked`."""
        ask(self.database, "UPDATE chain_clubs SET looked_at = 'infinity'")

    def ledgers_are_asked(self) -> None:
        """Have workers read the ledgers where Kafka brings nothing, as they do."""
        ask(self.database, "UPDATE chain_clubs SET looked_at = NULL")

    def comes_up(self) -> None:
        """Wait until the chain has all that its clubs have."""

        def is_there() -> bool:
            self.run_again()
            return self.positions() == self.heads()

        until(
            is_there,
            lambda: f"the chain is at {self.positions()}, not {self.heads()}; {self.said()}",
        )

    def is_published(self) -> None:
        """Wait until Kafka has confirmed all that its clubs have."""
        sql = "SELECT position FROM ledger_publishing"
        until(lambda: [ask(club, sql)[0][0] for club in self.clubs] == self.heads(), self.said)

    def said(self) -> str:
        """What its processes said last."""
        logs = sorted(self._home.glob("*.log"), key=lambda log: log.stat().st_mtime)
        return "\n".join(f"{log.name}: {log.read_text()[-1500:]}" for log in logs)

    def close(self) -> None:
        """End all of its processes."""
        for process in self._running:
            process.send_signal(signal.SIGKILL)
            process.wait()


@contextmanager
def private_chain(server: str, template: str, count: int) -> Iterator[Chain]:
    """A chain with so many clubs, which have not joined it; all of it goes at the end."""
    names = [f"{template}_chain", *(f"{template}_club_{n + 1}" for n in range(count))]
    with psycopg.connect(server, autocommit=True) as admin, ExitStack() as stack:
        admin.execute("SET client_min_messages = warning")
        for name in names:
            admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())
            of = "" if name.endswith("_chain") else f"TEMPLATE {template}"
            admin.execute(f"CREATE DATABASE {name} {of}".encode())
            stack.callback(admin.execute, f"DROP DATABASE {name} WITH (FORCE)".encode())
        of_chain, *clubs = [make_conninfo(server, dbname=name) for name in names]
        for club in clubs:
            ask(club, "UPDATE ledger_identity SET id = gen_random_uuid()")
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="club-chain-")))
        kafka = stack.enter_context(private_kafka())
        chain = Chain(kafka, of_chain, clubs, home)
        stack.callback(chain.close)
        yield chain
