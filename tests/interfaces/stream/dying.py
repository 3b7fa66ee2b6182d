"""Deaths of a worker, each in a process of its own: what is left of Faust does not end."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from aiokafka.errors import KafkaError

from infra.chain.intake import Intake
from infra.chain.kafka import Topic
from infra.chain.records import TOPIC
from infra.chain.store import open_chain
from infra.settings import Settings
from interfaces.stream import main
from interfaces.stream.main import Streaming
from interfaces.stream.watchdog import Watchdog
from interfaces.stream.worker import Kafka, Worker, WorkerDied
from tests.interfaces.stream.working import GROUP, begin_anew, working
from tests.kafka import KafkaServer, private_kafka, put_in_topic
from tests.waiting import until


@asynccontextmanager
async def streaming(
    kafka: KafkaServer, database: str
) -> AsyncIterator[tuple[Streaming, Worker, asyncio.Task[None]]]:
    """What runs in a worker's process, and who watches it."""
    worker = Worker(Kafka(kafka.brokers, TOPIC, GROUP), begin_anew)
    async with open_chain(database, building=True) as store:
        made = Streaming(worker, Intake(store), Topic(Settings(kafka_url=kafka.url)))
        reading = asyncio.create_task(made.read())
        watching = asyncio.create_task(made.watch(Watchdog()))
        try:
            yield made, worker, watching
        finally:
            for task in (reading, watching):
                task.cancel()
                with suppress(asyncio.CancelledError, WorkerDied):
                    await task


async def it_says_that_kafka_does_not_answer(kafka: KafkaServer, database: str) -> None:
    """And it ends where others are answered."""
    quick = pytest.MonkeyPatch()
    quick.setattr(main, "LOOK", 1.0)
    quick.setattr(main, "SILENCE", 10.0)
    kafka.stop()
    async with streaming(kafka, database) as (made, worker, watching):

        async def stands() -> bool:
            return made.standstill is not None and "does not answer" in made.standstill.reason

        async def goes_on() -> bool:
            return made.standstill is None and bool(worker.partitions)

        await until(stands, "Kafka is away at the start")
        kafka.start()
        await until(goes_on, "Kafka is there")
        kafka.freeze()
        await until(stands, "Kafka is frozen")
        assert made.standstill is not None
        assert made.standstill.reason == "Kafka does not answer"
        kafka.thaw()
        await until(goes_on, "Kafka is there again")
        assert not watching.done()
        hung = threading.Event()
        worker._app.consumer._thread.thread_loop.call_soon_threadsafe(hung.wait, 60)
        with pytest.raises(WorkerDied, match="Kafka does not answer this worker"):
            await asyncio.wait_for(watching, 40)
        hung.set()


async def it_ends_where_the_topic_was_made_anew(kafka: KafkaServer, _database: str) -> None:
    """Nothing that comes in it is taken for what was there before."""
    topic = Topic(Settings(kafka_url=kafka.url))
    await topic.make()
    for body in (b"1", b"2", b"3"):
        await put_in_topic(kafka, {"key": b"north", "value": body})
    async with working(kafka, {}) as (worker, _):
        for _ in range(3):
            await asyncio.wait_for(worker.messages.get(), 20)
        await worker.look()
        kafka.stop()
        kafka.start()
        await topic.make()
        await until(lambda: sees_that(worker), "it sees that")


async def sees_that(worker: Worker) -> bool:
    """Whether a look of the worker, whose connections may be gone, ends it as it should."""
    try:
        await worker.look()
    except KafkaError:
        return False
    except WorkerDied as died:
        return str(died) == "the topic was made anew"
    return False


async def it_names_no_address(kafka: KafkaServer, _database: str) -> None:
    """When it cannot start."""
    kafka.stop()
    worker = Worker(Kafka(kafka.brokers, TOPIC, GROUP), begin_anew)
    with pytest.raises(WorkerDied, match=r"^\w+$"):
        await asyncio.wait_for(worker.run(), 30)


def run(name: str, database: str) -> None:
    """Let it die in this way, and end this process."""
    watchdog = Watchdog(90.0)
    watchdog.start()
    with private_kafka() as kafka:
        asyncio.run(globals()[name](kafka, database))
    watchdog.end(0)


if __name__ == "__main__":
    run(*sys.argv[1:])
