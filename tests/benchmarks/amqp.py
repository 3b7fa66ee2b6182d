"""RabbitMQ: how fast signed payment messages come in.

Each side is one process, with everything durable: messages are on disk before they are confirmed,
and events before a message is acknowledged. The other sides, in turn with ours: a process that
takes and acknowledges the same messages and does nothing else, which no consumer can outdo; and
our own consumer with one message in hand, and so with one message a transaction.
"""

import asyncio
import random
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import aio_pika
import psycopg
import uvloop

from infra.bootstrap import open_club
from infra.servers.local_servers import LocalRabbitMQ
from infra.settings import Settings
from interfaces.amqp.intake import Intake
from interfaces.amqp.outlet import Outlet
from interfaces.amqp.payments import PaymentsIn
from interfaces.amqp.topology import PAYMENTS_QUEUE
from tests.benchmarks import relay
from tests.benchmarks.broker import Broker
from tests.benchmarks.figures import Figure
from tests.benchmarks.postgres import create_database
from tests.benchmarks.servers import CLUB, Broken
from tests.faults.messages import PROVIDER, Story, signed
from tests.faults.stage import seed

MESSAGES = 6_000
"""Payment messages of one run of the consumer; the one by one gets a tenth."""

ROUNDS = 3
WAS = 1_500
"""Messages a second, the target before there was a ratio."""

TARGET = 0.15

TARGET_ONE_BY_ONE = 3.0

HEAD = "SELECT coalesce(max(notification_id), 0) FROM ledger_events"
ONE_BY_ONE = [sys.executable, "-m", "tests.benchmarks.amqp"]


def measure(url: str, home: Path, quick: bool) -> Iterator[Figure]:
    """The consumers in turn on one ledger, then relays on what has come together."""
    rounds, many = (1, MESSAGES // 2) if quick else (ROUNDS, MESSAGES)
    rabbitmq = LocalRabbitMQ(home / "rabbitmq")
    rabbitmq.start()
    try:
        broker = Broker(create_database(url, "amqp"), home / "amqp", rabbitmq.url)
        consumers = Consumers(broker, rounds * (many + many // 10))
        yield from consumers.measure(rounds, many)
        yield relay.measure(broker, quick)
    finally:
        rabbitmq.stop()


class Consumers:
    """Payments that wait to be settled, and what takes the messages about them."""

    def __init__(self, broker: Broker, payments: int) -> None:
        self._broker = broker
        settled = [("PAID",)] * payments
        self._stories = asyncio.run(seed(broker.database, settled, random.Random(1))).stories
        self._secret = broker.club("providers", "add", PROVIDER).strip()
        with psycopg.connect(broker.database, autocommit=True) as connection:
            connection.execute("ANALYZE")

    def measure(self, rounds: int, many: int) -> Iterator[Figure]:
        ours: list[float] = []
        bare: list[float] = []
        one_by_one: list[float] = []
        for turn in range(rounds):
            stories = self._next(many)
            if turn % 2:
                bare.append(self._bare(stories))
            ours.append(self._consume([*CLUB, "consumer"], stories))
            if not turn % 2:
                bare.append(self._bare(stories))
            one_by_one.append(self._consume(ONE_BY_ONE, self._next(many // 10)))
        yield Figure.of_rounds(
            "signed payment messages, beside only taking them",
            ours,
            bare,
            TARGET,
            "messages/s",
            f"the target was {WAS:,} messages/s",
        )
        yield Figure.of_rounds(
            "the same, beside one message a transaction",
            ours,
            one_by_one,
            TARGET_ONE_BY_ONE,
            "messages/s",
        )

    def _next(self, many: int) -> Sequence[Story]:
        taken, self._stories = self._stories[:many], self._stories[many:]
        return taken

    def _consume(self, command: Sequence[str], stories: Sequence[Story]) -> float:
        """Messages a second, from the consumer's arrival to the last commit and its ack."""
        broker = self._broker
        self._publish(stories)
        goal = broker.number(HEAD) + 2 * len(stories)  # settled, and the client admitted
        with broker.running(command, "consumer") as running:
            asyncio.run(broker.is_consumed(PAYMENTS_QUEUE))
            started = time.perf_counter()
            broker.come_to(goal, HEAD, lambda: running.poll() is None)
            seconds = time.perf_counter() - started
        if left := asyncio.run(broker.left_in(PAYMENTS_QUEUE)):
            raise Broken(list(command), f"{left} messages are left over")
        return len(stories) / seconds

    def _bare(self, stories: Sequence[Story]) -> float:
        """Messages a second, from the first to the last ack."""
        self._publish(stories)
        return len(stories) / self._broker.bare("consume", PAYMENTS_QUEUE, str(len(stories)))

    def _publish(self, stories: Sequence[Story]) -> None:
        messages = [self._message(story) for story in stories]
        asyncio.run(self._broker.publish(messages, PAYMENTS_QUEUE))
        self._broker.rest()

    def _message(self, story: Story) -> aio_pika.Message:
        status, at = story.steps[0]
        made = signed(f"bench-{story.payment_id}", story.payment_id, status, at, self._secret)
        return aio_pika.Message(
            made.body, headers=dict(made.headers), delivery_mode=aio_pika.DeliveryMode.PERSISTENT
        )


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
