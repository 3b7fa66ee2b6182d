"""RabbitMQ: how fast signed payment messages come in, and how fast events go out.

Each side is one process, with everything durable: messages and events are on disk before they are
acknowledged or confirmed. Our other side is the same consumer with one message in hand, and so with
one message a transaction.
"""

import asyncio
import random
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import aio_pika
import psycopg
import uvloop

from infra.bootstrap import open_club
from infra.servers.local_servers import LocalRabbitMQ
from infra.settings import Settings
from interfaces.amqp.intake import Intake
from interfaces.amqp.outlet import Outlet
from interfaces.amqp.payments import PaymentsIn
from interfaces.amqp.topology import EVENTS_EXCHANGE, PAYMENTS_QUEUE, declare
from tests.benchmarks.figures import Figure
from tests.benchmarks.postgres import checkpoint, create_database
from tests.benchmarks.servers import CLUB, STARTUP_SECONDS, Broken, club, process
from tests.faults.messages import PROVIDER, Story, signed
from tests.faults.stage import seed

MESSAGES = 10_000
"""Payment messages of one run of the consumer; the other side gets a tenth."""

ROUNDS = 3
TARGET = 1_500
TARGET_RATIO = 3.0
TARGET_OUT = 5_000
PATIENCE = 120.0
TOGETHER = 1_000

_HEAD = "SELECT coalesce(max(notification_id), 0) FROM ledger_events"
_OUT = "SELECT coalesce(max(position), 0) FROM relay_positions"


@dataclass(frozen=True)
class Rates:
    """Messages a second in, with both consumers, round by round; events a second out."""

    ours: Sequence[float]
    one_by_one: Sequence[float]
    out: float

    def figures(self) -> list[Figure]:
        ratios = sorted(a / b for a, b in zip(self.ours, self.one_by_one, strict=True))
        ours = median(self.ours)
        return [
            Figure(
                name="signed payment messages, one consumer process",
                ours=ours,
                target=TARGET,
                unit="messages/s",
                note=f"rounds {min(self.ours):,.0f} to {max(self.ours):,.0f}",
            ),
            Figure(
                name="the same, beside one message a transaction",
                ours=ours,
                theirs=median(self.one_by_one),
                ratio=median(ratios),
                target=TARGET_RATIO,
                unit="messages/s",
                note=f"rounds {ratios[0]:.1f} to {ratios[-1]:.1f}",
            ),
            Figure(
                name="events relayed and confirmed, one relay process",
                ours=self.out,
                target=TARGET_OUT,
                unit="events/s",
            ),
        ]


def measure(url: str, home: Path, quick: bool) -> Rates:
    """Both consumers in turn on one ledger, then the relay on all that has come together."""
    rounds, many = (1, MESSAGES // 2) if quick else (ROUNDS, MESSAGES)
    database = create_database(url, "amqp")
    rabbitmq = LocalRabbitMQ(home / "rabbitmq")
    rabbitmq.start()
    try:
        bench = Bench(database, home / "amqp", rabbitmq.url)
        stories = bench.prepare(rounds * (many + many // 10))
        ours: list[float] = []
        theirs: list[float] = []
        for _ in range(rounds):
            ours.append(bench.consume([*CLUB, "consumer"], stories[:many]))
            few, stories = stories[many : many + many // 10], stories[many + many // 10 :]
            theirs.append(bench.consume([sys.executable, "-m", "tests.benchmarks.amqp"], few))
        return Rates(ours, theirs, bench.relay())
    finally:
        rabbitmq.stop()


class Bench:
    """One database and one RabbitMQ."""

    def __init__(self, database: str, home: Path, rabbitmq_url: str) -> None:
        self._database = database
        self._rabbitmq_url = rabbitmq_url
        self._home = home
        self._secret = ""
        self._environment = {
            "CLUB_DATABASE_URL": database,
            "CLUB_AMQP_URL": rabbitmq_url,
            "CLUB_HOME": str(home),
        }

    def prepare(self, payments: int) -> list[Story]:
        """So many payments that wait to be settled, and a provider."""
        settled = [("PAID",)] * payments
        club(["projections", "rebuild"], self._environment)  # which makes the club
        stories = asyncio.run(seed(self._database, settled, random.Random(1))).stories
        self._secret = club(["providers", "add", PROVIDER], self._environment).strip()
        with psycopg.connect(self._database, autocommit=True) as connection:
            connection.execute("ANALYZE")
        return stories

    def consume(self, command: Sequence[str], stories: Sequence[Story]) -> float:
        """Messages a second, from the consumer's arrival to the last commit and its ack."""
        asyncio.run(self._publish(stories))
        checkpoint(self._database)
        goal = self._at(_HEAD) + 2 * len(stories)  # settled, and the client admitted
        log = self._home.with_name("consumer.log")
        with process(command, self._environment, log) as running:
            asyncio.run(self._arrived())
            started = time.perf_counter()
            self._come_to(goal, _HEAD, lambda: running.poll() is None)
            seconds = time.perf_counter() - started
        if left := asyncio.run(self._counts())[0]:
            raise Broken(list(command), f"{left} messages are left over")
        return len(stories) / seconds

    def relay(self) -> float:
        """Events a second, from the first confirmed ones to the last."""
        asyncio.run(self._subscribe())
        checkpoint(self._database)
        goal = self._at(_HEAD)
        with process([*CLUB, "relay"], self._environment, self._home.with_name("relay.log")) as run:
            begun = self._come_to(1, _OUT, lambda: run.poll() is None)
            started = time.perf_counter()
            done = self._come_to(goal, _OUT, lambda: run.poll() is None)
            return (done - begun) / (time.perf_counter() - started)

    def _at(self, position: str) -> int:
        with psycopg.connect(self._database, autocommit=True) as connection:
            row = connection.execute(position.encode()).fetchone()
        assert row is not None
        return int(row[0])

    def _come_to(self, goal: int, position: str, alive: Callable[[], bool]) -> int:
        give_up = time.monotonic() + PATIENCE
        with psycopg.connect(self._database, autocommit=True) as connection:
            while True:
                row = connection.execute(position.encode()).fetchone()
                assert row is not None
                if row[0] >= goal:
                    return int(row[0])
                if not alive() or time.monotonic() > give_up:
                    raise Broken([position], f"came to {row[0]} of {goal} only")
                time.sleep(0.01)

    async def _publish(self, stories: Sequence[Story]) -> None:
        async with await aio_pika.connect(self._rabbitmq_url) as connection:
            channel = await connection.channel()
            await declare(channel)
            for first in range(0, len(stories), TOGETHER):
                await asyncio.gather(
                    *(
                        channel.default_exchange.publish(self._message(story), PAYMENTS_QUEUE)
                        for story in stories[first : first + TOGETHER]
                    )
                )

    def _message(self, story: Story) -> aio_pika.Message:
        status, at = story.steps[0]
        made = signed(f"bench-{story.payment_id}", story.payment_id, status, at, self._secret)
        return aio_pika.Message(
            made.body, headers=dict(made.headers), delivery_mode=aio_pika.DeliveryMode.PERSISTENT
        )

    async def _counts(self) -> tuple[int, int]:
        """Messages that wait, and consumers."""
        async with await aio_pika.connect(self._rabbitmq_url) as connection:
            channel = await connection.channel()
            queue = await channel.declare_queue(PAYMENTS_QUEUE, passive=True)
            found = queue.declaration_result
            return found.message_count or 0, found.consumer_count or 0

    async def _arrived(self) -> None:
        """Return as soon as somebody consumes."""
        async with (
            asyncio.timeout(STARTUP_SECONDS),
            await aio_pika.connect(self._rabbitmq_url) as connection,
        ):
            channel = await connection.channel()
            while True:
                queue = await channel.declare_queue(PAYMENTS_QUEUE, passive=True)
                if queue.declaration_result.consumer_count:
                    return
                await asyncio.sleep(0.005)

    async def _subscribe(self) -> None:
        """A durable queue, which takes all that goes out."""
        async with await aio_pika.connect(self._rabbitmq_url) as connection:
            channel = await connection.channel()
            await declare(channel)
            queue = await channel.declare_queue(
                "subscriber", durable=True, arguments={"x-queue-type": "quorum"}
            )
            await queue.bind(EVENTS_EXCHANGE, "#")


async def one_by_one() -> None:
    """The consumer of payments, with one message in hand; until it is told to end."""
    found = Settings()
    assert found.amqp_url is not None
    async with (
        open_club(found, projecting=False) as club,
        await aio_pika.connect(found.amqp_url) as connection,
    ):
        handle = PaymentsIn(club.bus, club.signatures).handle
        closing = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, closing.set)
        channel = await connection.channel(on_return_raises=True)
        publish = Outlet(connection, channel, channel).publish
        await Intake(PAYMENTS_QUEUE, handle, prefetch=1).run(channel, publish, closing)


if __name__ == "__main__":
    uvloop.run(one_by_one())
