"""The servers and the parts of the club, each a process that can be killed and started again."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import psycopg

from application.clients import client_of, holder_of
from domain.aggregate import Aggregate
from domain.clients import Client
from domain.memberships import Membership
from domain.payments import Payment
from domain.reservations import Reservation
from domain.users import User
from domain.values import PaymentStatus
from infra.servers.local_servers import LocalRabbitMQ, program
from tests.acceptance.service import CLUB, PATIENCE, Service, launched, until
from tests.benchmarks import seeding
from tests.faults.cluster import Cluster
from tests.faults.messages import PROVIDER, Story

API = (str(CLUB), "run", "--no-bot", "--no-projector", "--no-amqp", "--no-timers")
PAYMENTS_A_CLIENT = 4
MINDED_EVERY = 0.5

_TOLD = "SELECT 1 FROM parts WHERE process LIKE %s"


class Part:
    """A part of the club, as a process of its own that is started again whenever it ends."""

    def __init__(self, service: Service, name: str, number: int = 1) -> None:
        """Of several of a name, each has a number."""
        self._service = service
        self.name = name
        self.log = service.home.with_name(f"{name}-{number}.log")
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        return launched([CLUB, self.name], self._service.environment, self.log)

    def look(self) -> None:
        """Start it again where it has ended."""
        if self.process.poll() is not None:
            self.process = self._start()

    def end(self) -> int:
        """Tell it to end; the status with which it ends."""
        self.process.terminate()
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


class Stage:
    """Everything that runs."""

    def __init__(
        self, home: Path, cluster: Cluster, postgres_url: str, rabbitmq: LocalRabbitMQ
    ) -> None:
        self.home = home
        self.cluster = cluster
        self.postgres_url = postgres_url
        self.rabbitmq = rabbitmq
        self.service = self._api("club")
        self.others: list[Service] = []
        self.parts: dict[str, Part] = {}

    def _api(self, name: str) -> Service:
        service = Service(
            self.home / "club",
            CLUB_DATABASE_URL=self.postgres_url,
            CLUB_AMQP_URL=self.rabbitmq.url,
        )
        service.said = self.home / f"{name}.said"
        return service

    def open(self) -> None:
        """Start every part."""
        self.service.start(API)
        for name in ("projector", "consumer", "relay"):
            self.parts[name] = Part(self.service, name)

    def double(self, name: str) -> None:
        """Start another of a part, and return when it works."""
        second = f"{name}-2"
        if second not in self.parts:
            self.parts[second] = Part(self.service, name, 2)
            until(partial(self._works, self.parts[second]), f"{second} works")

    def _works(self, part: Part) -> bool:
        if "amqp.connected" in part.log.read_text():
            return True
        with psycopg.connect(self.postgres_url) as connection:
            told = connection.execute(_TOLD, [f"%:{part.process.pid}:%"]).fetchone()
        return told is not None

    def another_api(self) -> Service:
        """Another API on the same club, open."""
        beside = self._api("club-2")
        self.others.append(beside)
        beside.start(API)
        return beside

    async def mind(self) -> None:
        """Look after the parts, as whatever runs them in earnest does."""
        while True:
            for part in self.parts.values():
                part.look()
            await asyncio.sleep(MINDED_EVERY)

    def provider(self) -> str:
        """The secret of the provider."""
        added = self.service.club("providers", "add", PROVIDER)
        assert added.returncode == 0, added.stderr
        return added.stdout.strip()

    def kill(self, name: str) -> None:
        """`kill -9` of a part."""
        self.parts[name].process.kill()

    def kill_api(self) -> None:
        """`kill -9`, and once more from the beginning."""
        self.service.kill()
        self.service.start(API)

    def restart_rabbitmq(self) -> None:
        """In order, with all that it has to keep."""
        self.rabbitmq.stop()
        self.rabbitmq.start()

    def alarm(self, *, on: bool) -> None:
        """Let RabbitMQ believe that it is out of memory, or that it has enough again."""
        environment = {
            "HOME": str(self.rabbitmq.home),
            "RABBITMQ_NODENAME": "club@localhost",
            "ERL_EPMD_PORT": str(self.rabbitmq._names.port),
        }
        control = program("rabbitmqctl", "rabbitmq-server")
        subprocess.run(
            [control, "set_vm_memory_high_watermark", "0.000001" if on else "0.4"],
            env={**os.environ, **environment},
            check=True,
            capture_output=True,
        )

    def close(self) -> None:
        """Leave nothing running."""
        for part in self.parts.values():
            if part.process.poll() is None:
                part.process.send_signal(signal.SIGKILL)
                part.process.wait()
        for service in (self.service, *self.others):
            service.close()

    def complaints(self) -> list[str]:
        """Lines of the logs that no outage explains."""
        services = (self.service, *self.others)
        logs = [*(part.log for part in self.parts.values()), *(s.said for s in services)]
        return [
            f"{log.name}: {line[:500]}"
            for log in logs
            for line in log.read_text().splitlines()
            if '"level":"error"' in line or "Traceback" in line or "never awaited" in line
        ]


@contextmanager
def opened(*, replicated: bool) -> Iterator[Stage]:
    """A stage with its servers, in a folder that is removed at the end."""
    home = Path(tempfile.mkdtemp(prefix="club-faults-"))
    home.chmod(0o755)  # as root, Postgres runs under another account
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, home, ignore_errors=True)
        cluster = Cluster(home / "servers")
        stack.callback(cluster.stop)
        url = cluster.start(replicated=replicated)
        rabbitmq = LocalRabbitMQ(home / "rabbitmq")
        stack.callback(rabbitmq.stop)
        rabbitmq.start()
        stage = Stage(home, cluster, url, rabbitmq)
        stack.callback(stage.close)
        _found(stage.service)
        yield stage


FOUND = """
import asyncio
from infra.bootstrap import make_club
from infra.settings import Settings
asyncio.run(make_club(Settings()))
"""


def _found(service: Service) -> None:
    """Make the club, as its first part does that starts."""
    made = subprocess.run(
        [sys.executable, "-c", FOUND],
        cwd=service.checkout,
        env=service.environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert made.returncode == 0, made.stderr


async def seed(url: str, histories: Sequence[tuple[str, ...]], chance: random.Random) -> Seeded:
    """Clients who are asked to pay; each payment will take the steps of one of the histories."""
    came = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=12)
    many = len(histories) // PAYMENTS_A_CLIENT + 1
    async with seeding.open_ledger(url) as ledger:
        numbers = [await seeding.numbers(ledger, kind, many) for kind in (User, Membership, Client)]
        people = list(zip(*numbers, strict=True))
        payment_ids = await seeding.numbers(ledger, Payment, len(histories) + 1)
        clients = [client_id for *_, client_id in people]
        payers = [chance.choice(clients) for _ in payment_ids]
        await seeding.append(ledger, (made for who in people for made in _joining(who, came)))
        called_off = Payment.request(payment_ids[-1], payers[-1], numbers[1][0], came, came)
        called_off.step(PaymentStatus.CANCELLED, came, came)
        requested = (
            Payment.request(payment_id, client_id, numbers[1][0], came, came)
            for payment_id, client_id in zip(payment_ids[:-1], payers[:-1], strict=True)
        )
        await seeding.append(ledger, requested)
        await seeding.append(ledger, iter([called_off]))
    stories = [
        Story(payment_id, client_id, tuple(_taken(steps, came, chance)))
        for payment_id, client_id, steps in zip(payment_ids, payers, histories, strict=False)
    ]
    return Seeded(stories, payment_ids[-1])


class Seeded:
    """What is there before the first message comes."""

    def __init__(self, stories: list[Story], called_off: int) -> None:
        self.stories = stories
        self.called_off = called_off
        """A payment that is CANCELLED already."""


def _joining(who: Sequence[int], at: datetime) -> Iterator[Aggregate]:
    user_id, membership_id, client_id = who
    yield seeding.user(user_id, at)
    yield seeding.membership(membership_id, at)
    facts = {"user_id": user_id, "membership_id": membership_id}
    client = Client.register(client_id, seeding.CLIENT | facts, at)
    yield client
    yield Reservation.make(client_of(user_id), client.id, at)
    yield Reservation.make(holder_of(membership_id), client.id, at)


def _taken(
    steps: Sequence[str], came: datetime, chance: random.Random
) -> Iterator[tuple[str, datetime]]:
    """The steps, each with its moment; the moments of a payment are minutes apart."""
    at = came + timedelta(seconds=chance.randrange(3600))
    for status in steps:
        at += timedelta(seconds=60 + chance.randrange(3600))
        yield status, at
