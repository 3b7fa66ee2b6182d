"""How fast events go out, beside bare publishing of the same bodies, each of them confirmed."""

import asyncio
import time

import aio_pika
import psycopg

from infra.following.relaying import RELAY
from interfaces.amqp.topology import EVENTS_EXCHANGE, declare
from tests.benchmarks.broker import Broker
from tests.benchmarks.figures import Figure
from tests.benchmarks.servers import CLUB

EVENTS = 20_000
"""Events that go out in one run."""

ROUNDS = 3
WAS = 5_000
"""Events a second, the target before there was a ratio."""

TARGET = 0.6

SUBSCRIBER = "subscriber"
_OUT = "SELECT position FROM relay_positions"
# A relay that has everything but the last so many behind it.
_FAR = """
INSERT INTO relay_positions (name, position)
SELECT %s, max(notification_id) - %s FROM ledger_events
ON CONFLICT (name) DO UPDATE SET position = excluded.position
"""


def measure(broker: Broker, quick: bool) -> Figure:
    """Ours, and theirs with what has just come out of ours, in turn."""
    rounds, many = (1, EVENTS // 2) if quick else (ROUNDS, EVENTS)
    asyncio.run(_subscribe(broker))
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(rounds):
        ours.append(_relayed(broker, many))
        theirs.append(many / broker.bare("publish", SUBSCRIBER, str(many), EVENTS_EXCHANGE))
        asyncio.run(_purge(broker))
    return Figure.of_rounds(
        "events relayed, beside bare confirmed publishing",
        ours,
        theirs,
        TARGET,
        "events/s",
        f"the target was {WAS:,} events/s",
    )


def _relayed(broker: Broker, many: int) -> float:
    """Events a second, from the first confirmed ones to the last."""
    with psycopg.connect(broker.database) as connection:
        connection.execute(_FAR, [RELAY, many])
    broker.rest()
    behind = broker.number(_OUT)
    with broker.running([*CLUB, "relay"], "relay") as run:
        begun = broker.come_to(behind + 1, _OUT, lambda: run.poll() is None)
        started = time.perf_counter()
        done = broker.come_to(behind + many, _OUT, lambda: run.poll() is None)
        return (done - begun) / (time.perf_counter() - started)


async def _subscribe(broker: Broker) -> None:
    """A durable queue, which takes all that goes out."""
    async with await aio_pika.connect(broker.url) as connection:
        channel = await connection.channel()
        await declare(channel)
        queue = await channel.declare_queue(
            SUBSCRIBER, durable=True, arguments={"x-queue-type": "quorum"}
        )
        await queue.bind(EVENTS_EXCHANGE, "#")


async def _purge(broker: Broker) -> None:
    async with await aio_pika.connect(broker.url) as connection:
        channel = await connection.channel()
        await (await channel.get_queue(SUBSCRIBER)).purge()
