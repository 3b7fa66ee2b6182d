"""The servers and the parts of the club, each a process that can be killed and started again."""

from __future__ import annotations

import asyncio
import random
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from application.clients import client_of, holder_of
from domain.aggregate import Aggregate
from domain.clients import Client
from domain.memberships import Membership
from domain.payments import Payment
from domain.reservations import Reservation
from domain.users import User
from domain.values import PaymentStatus
from infra.servers.embedded_postgres import embedded_postgres, start_again
from infra.servers.local_servers import LocalRabbitMQ
from infra.servers.postgres_server import PostgresServer
from tests.acceptance.service import CLUB, PATIENCE, Service, launched
from tests.benchmarks import seeding
from tests.faults.messages import PROVIDER, Story

API = (str(CLUB), "run", "--no-bot", "--no-projector", "--no-amqp", "--no-timers")
PAYMENTS_A_CLIENT = 4
MINDED_EVERY = 0.5


class Part:
    """A part of the club, as a process of its own that is started again whenever it ends."""

    def __init__(self, service: Service, name: str) -> None:
        self._service = service
        self.name = name
        self.log = service.home.with_name(f"{name}.log")
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

    def __init__(self, home: Path, postgres_url: str, rabbitmq: LocalRabbitMQ) -> None:
        self.home = home
        self.postgres_url = postgres_url
        self.rabbitmq = rabbitmq
        self.service = Service(
            home / "club", CLUB_DATABASE_URL=postgres_url, CLUB_AMQP_URL=rabbitmq.url
        )
        self.parts: dict[str, Part] = {}

    def open(self) -> None:
        """Start every part."""
        self.service.start(API)
        for name in ("projector", "consumer", "relay"):
            self.parts[name] = Part(self.service, name)

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

    def restart_postgres(self) -> None:
        """As an administrator does who has no patience with connections."""
        server = self.home / "server"
        PostgresServer(server, server / "postgres").stop()
        start_again(server)

    def close(self) -> None:
        """Leave nothing running."""
        for part in self.parts.values():
            if part.process.poll() is None:
                part.process.send_signal(signal.SIGKILL)
                part.process.wait()
        self.service.close()

    def complaints(self) -> list[str]:
        """Lines of the logs that no outage explains."""
        logs = [*(part.log for part in self.parts.values()), self.service.said]
        return [
            f"{log.name}: {line[:500]}"
            for log in logs
            for line in log.read_text().splitlines()
            if '"level":"error"' in line or "Traceback" in line or "never awaited" in line
        ]


@contextmanager
def opened() -> Iterator[Stage]:
    """A stage with its servers, in a folder that is removed at the end."""
    home = Path(tempfile.mkdtemp(prefix="club-faults-"))
    home.chmod(0o755)  # as root, Postgres runs under another account
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, home, ignore_errors=True)
        url = stack.enter_context(embedded_postgres(home / "server"))
        rabbitmq = LocalRabbitMQ(home / "rabbitmq")
        stack.callback(rabbitmq.stop)
        rabbitmq.start()
        stage = Stage(home, url, rabbitmq)
        stack.callback(stage.close)
        made = stage.service.club("projections", "rebuild")
        assert made.returncode == 0, made.stderr
        yield stage


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
