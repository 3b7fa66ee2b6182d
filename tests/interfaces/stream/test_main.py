"""What a worker says of itself, and when it ends, whatever Kafka does."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator

import pytest

from infra.chain.kafka import Topic
from infra.settings import Settings
from tests.interfaces.stream.working import working
from tests.kafka import KafkaServer, private_kafka
from tests.waiting import until


@pytest.fixture
def kafka() -> Iterator[KafkaServer]:
    with private_kafka() as server:
        yield server


@pytest.mark.parametrize(
    "death",
    [
        "it_says_that_kafka_does_not_answer",
        "it_ends_where_the_topic_was_made_anew",
        "it_names_no_address",
    ],
)
def test_it_ends_as_it_should(death: str, empty_database: str) -> None:
    died = [sys.executable, "-m", "tests.interfaces.stream.dying", death, empty_database]
    ended = subprocess.run(died, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


# As a transaction ends: with a batch that no reader is ever shown.
MARKER = """
import asyncio, os, sys
os.environ["AIOKAFKA_NO_EXTENSIONS"] = "1"
from aiokafka import AIOKafkaProducer
from aiokafka.record.default_records import DefaultRecordBatchBuilder as Builder

attributes = Builder._get_attributes
Builder._get_attributes = lambda *given: attributes(*given) | Builder.CONTROL_MASK

async def main():
    async with AIOKafkaProducer(bootstrap_servers=sys.argv[1]) as producer:
        await producer.send_and_wait("club.ledger", b"", key=b"\\0\\0\\0\\1")

asyncio.run(main())
"""


async def test_what_no_reader_is_shown_is_not_waited_for(kafka: KafkaServer) -> None:
    await Topic(Settings(kafka_url=kafka.url)).make()
    marked = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", MARKER, kafka.brokers], check=False
    )
    assert marked.returncode == 0
    async with working(kafka, {}) as (worker, _):

        async def is_well() -> bool:
            before = worker.came_at
            await worker.look()
            return worker.came_at > before

        await until(is_well, "nothing is waited for")
        assert worker.messages.empty()
