"""A Kafka for the tests: a broker of their own, and what is in the chain's topic."""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from infra.chain.records import TOPIC
from infra.servers.local_kafka import LocalKafka
from tests.servers import Freezing


class KafkaServer(Freezing, LocalKafka):
    """A broker that can be killed, and comes back at its address without its memory."""

    @property
    def brokers(self) -> str:
        """Its address, as aiokafka takes it."""
        return self.url.partition("://")[2]

    def stop(self, how: int = signal.SIGKILL) -> None:
        """Let it go away, with all that it kept, even if it is frozen."""
        super().stop(how)


@contextmanager
def private_kafka() -> Iterator[KafkaServer]:
    """A broker of one's own, killed at the end."""
    home = Path(tempfile.mkdtemp(prefix="club-kafka-"))
    server = KafkaServer(home)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(home)


async def in_topic(kafka: KafkaServer) -> list[Any]:
    """Every message in the topic, of each partition in its order."""
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka.brokers, enable_auto_commit=False)
    await consumer.start()
    try:
        await consumer.topics()
        places = [TopicPartition(TOPIC, p) for p in consumer.partitions_for_topic(TOPIC) or ()]
        consumer.assign(places)
        await consumer.seek_to_beginning()
        found: list[Any] = []
        # This broker does not say right where a partition ends, where messages came together.
        while any([await _is_behind(consumer, place) for place in places]):
            for messages in (await consumer.getmany(timeout_ms=200)).values():
                found += messages
        return found
    finally:
        await consumer.stop()


async def _is_behind(consumer: AIOKafkaConsumer, place: TopicPartition) -> bool:
    end = consumer.highwater(place)
    return end is None or end > await consumer.position(place)


async def put_in_topic(kafka: KafkaServer, *messages: dict[str, Any]) -> None:
    """Write into the topic as anybody can who reaches the broker."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka.brokers, max_request_size=32 * 1024 * 1024)
    await producer.start()
    try:
        for message in messages:
            await producer.send_and_wait(TOPIC, **message)
    finally:
        await producer.stop()
