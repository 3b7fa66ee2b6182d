"""What a worker relies on in Faust that is not promised: one test for each."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from infra.chain.kafka import Topic
from infra.chain.records import TOPIC
from infra.settings import Settings
from interfaces.stream.main import spans
from interfaces.stream.worker import MARGIN, WorkerDied
from tests.interfaces.stream.working import GROUP, working
from tests.kafka import KafkaServer, private_kafka, put_in_topic


@pytest.fixture
def kafka() -> Iterator[KafkaServer]:
    with private_kafka() as server:
        yield server


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The folder that a worker is started in, in which it makes nothing."""
    monkeypatch.chdir(tmp_path)
    yield
    assert list(tmp_path.iterdir()) == []


async def test_it_begins_where_postgres_says_and_stores_nothing_in_kafka(
    kafka: KafkaServer,
) -> None:
    await Topic(Settings(kafka_url=kafka.url)).make()
    await put_in_topic(
        kafka, *({"key": key, "value": b"old"} for key in (b"north", b"north", b"south"))
    )
    # All that north has was taken; of south nothing ever was.
    taken = {"north": datetime.now(UTC) + MARGIN + timedelta(seconds=1)}
    async with working(kafka, taken) as (worker, _):
        assert worker.partitions == list(range(32))
        first = await asyncio.wait_for(worker.messages.get(), 20)
        assert (first.key, first.body) == (b"south", b"old")
        await put_in_topic(kafka, {"key": b"north", "value": None})
        later = await asyncio.wait_for(worker.messages.get(), 20)
        assert (later.key, later.body) == (b"north", None)
        await worker.look()
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.brokers)
    await admin.start()
    try:
        stored = await admin.list_consumer_group_offsets(
            GROUP, partitions=[TopicPartition(TOPIC, p) for p in range(32)]
        )
    finally:
        await admin.close()
    assert {at.offset for at in stored.values()} <= {-1}


async def test_what_leaves_its_agent_ends_it(
    kafka: KafkaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    await Topic(Settings(kafka_url=kafka.url)).make()

    async def refuse(_: Any) -> None:
        raise RuntimeError("no room")

    async with working(kafka, {}) as (worker, task):
        monkeypatch.setattr(worker.messages, "put", refuse)
        await put_in_topic(kafka, {"key": b"north", "value": b"one"})
        with pytest.raises(WorkerDied, match="RuntimeError"):
            await asyncio.wait_for(task, 20)


SILENT = """
import asyncio, time
from interfaces.stream.watchdog import Watchdog

async def work():
    watchdog = Watchdog(1.0)
    watchdog.start()
    for _ in range(8):
        watchdog.beat()
        await asyncio.sleep(0.2)
    time.sleep(30)

asyncio.run(work())
"""


def test_a_process_whose_event_loop_is_silent_ends() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", SILENT], capture_output=True, text=True, timeout=20
    )
    assert ended.returncode == 1
    assert ended.stderr == "The worker has done nothing for 1 seconds: it is ended.\n"


def test_partitions_are_told_in_spans() -> None:
    assert list(spans([0, 1, 2, 5, 7, 8])) == ["0-2", "5", "7-8"]
