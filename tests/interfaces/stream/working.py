"""A worker that reads from a broker, in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import datetime

from infra.chain.records import TOPIC
from interfaces.stream.worker import Kafka, Worker, WorkerDied
from tests.kafka import KafkaServer
from tests.waiting import until

GROUP = "a-chain"


async def begin_anew() -> Mapping[str, datetime]:
    """Nothing was ever taken."""
    return {}


@asynccontextmanager
async def working(
    kafka: KafkaServer, taken: Mapping[str, datetime]
) -> AsyncIterator[tuple[Worker, asyncio.Task[None]]]:
    """A worker that has partitions."""

    async def begin() -> Mapping[str, datetime]:
        return taken

    worker = Worker(Kafka(kafka.brokers, TOPIC, GROUP), begin)
    task = asyncio.create_task(worker.run())

    async def has_partitions() -> bool:
        return bool(worker.partitions) or task.done()

    await until(has_partitions, "it has partitions")
    try:
        yield worker, task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError, WorkerDied):
            await task
