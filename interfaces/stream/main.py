"""A worker of a chain, put together: Kafka in, the chain's Postgres out, and whoever watches it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby

import psycopg
from aiokafka.errors import KafkaError

from infra.chain.beginning import groups_of, last_taken, sharing
from infra.chain.fetched import Refused
from infra.chain.intake import Arrived, Intake
from infra.chain.kafka import Address, KafkaAway, Topic
from infra.chain.records import TOPIC, KeptOut
from infra.chain.store import open_chain
from infra.following.follower import RETRY, database_said
from infra.parts import STREAM, Parts
from infra.settings import Settings
from infra.standstill import Standstill, Told
from interfaces.stream.watchdog import SILENCE, Watchdog
from interfaces.stream.worker import LAST_WORDS, Kafka, Message, NotReading, Worker, WorkerDied

__all__ = ["Watchdog", "WorkerDied", "run_worker"]

MOST_TAKEN = 32
"""Messages that are taken at once."""

LOOK = 5.0
"""Seconds between looks whether something is in Kafka that does not come."""


async def run_worker(settings: Settings, closing: asyncio.Event, watchdog: Watchdog) -> None:
    """Take what comes until `closing`; raises WorkerDied, or whatever else it died of."""
    try:
        await _work(settings, closing, watchdog)
    except BaseExceptionGroup as died:
        fault = _first(died)
    else:
        return
    raise fault


async def _work(settings: Settings, closing: asyncio.Event, watchdog: Watchdog) -> None:
    url = settings.chain_database_url or ""
    async with (
        open_chain(url, groups_of(settings), building=True) as store,
        Intake(store).open() as intake,
    ):
        worker = Worker(_kafka(settings, await sharing(store)), partial(last_taken, store))
        streaming = Streaming(worker, intake, Topic(settings))
        parts = Parts(store.postgres)
        async with parts.reporting(streaming), asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(parts.run()),
                tasks.create_task(streaming.read()),
                tasks.create_task(streaming.run()),
                tasks.create_task(streaming.watch(watchdog)),
            ]
            await closing.wait()
            watchdog.end_within(LAST_WORDS + 5.0, 0)
            for task in running:
                task.cancel()


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The fault that came first."""
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first


class Streaming:
    """What is done with what comes, and how that goes."""

    name = STREAM

    def __init__(self, worker: Worker, intake: Intake, topic: Topic) -> None:
        self._worker = worker
        self._intake = intake
        self._topic = topic
        self._taking_since: float | None = None
        self._database: str | None = None
        self._kafka: str | None = None
        self._stands = Told(STREAM, lambda: self._database or self._kafka)
        self._aside = Told(STREAM, lambda: "; ".join(intake.directory.aside.values()) or None)

    @property
    def standstill(self) -> Standstill | None:
        """Why nothing comes, or is not taken in; or which groups are others' to fill."""
        aside = self._aside.standstill
        return self._stands.standstill or (aside and replace(aside, aside=True))

    @property
    def doing(self) -> str:
        """Its share of the partitions."""
        mine = self._worker.partitions
        return f"partitions {', '.join(spans(mine))}" if mine else "no partitions"

    async def read(self) -> None:
        """Have the worker read as soon as Kafka is there; meanwhile the ledgers are read."""
        while True:
            try:
                await self._topic.make()
            except KafkaAway as away:
                self._kafka = str(away)
                await asyncio.sleep(RETRY)
            else:
                return await self._worker.run()

    async def run(self) -> None:
        """Take what comes, in its order, until cancelled."""
        messages = self._worker.messages
        while True:
            batch = [await messages.get()]
            while len(batch) < MOST_TAKEN and not messages.empty():
                batch.append(messages.get_nowait())
            await self._take([arrived(message) for message in batch])

    async def _take(self, batch: Sequence[Arrived]) -> None:
        """Take these, however often that needs to be tried: nothing behind them is passed."""
        while True:
            self._taking_since = time.monotonic()
            try:
                await self._intake.take(batch)
            except psycopg.OperationalError as away:
                self._database = f"the chain's database does not answer: {database_said(away)}"
                await asyncio.sleep(RETRY)
                continue
            finally:
                self._taking_since = None
            self._database = None
            return

    async def watch(self, watchdog: Watchdog) -> None:
        """See to it that a worker that does nothing ends; raises WorkerDied."""
        looked = time.monotonic()
        while True:
            await asyncio.sleep(1.0)
            watchdog.beat()
            now = time.monotonic()
            if self._taking_since is not None and now - self._taking_since > SILENCE:
                raise WorkerDied("what came is not taken")
            if now - looked > LOOK:
                await self._look()
                looked = time.monotonic()
            if looked - self._worker.came_at > SILENCE:
                raise WorkerDied(self._kafka or "Kafka has something, and it does not come")

    async def _look(self) -> None:
        try:
            async with asyncio.timeout(LOOK):
                await self._worker.look()
        except (KafkaError, TimeoutError, NotReading):
            self._kafka = self._kafka or "Kafka does not answer"
            if await self._topic.answers():
                self._kafka = "Kafka does not answer this worker"
            else:
                # Nothing can come; where something was published, the ledgers are read.
                self._worker.came_at = time.monotonic()
        else:
            self._kafka = None


def spans(numbers: Sequence[int]) -> Iterator[str]:
    """Numbers in order, those that follow each other from the first to the last."""
    for _, run in groupby(enumerate(numbers), lambda place: place[1] - place[0]):
        first, *rest = [number for _, number in run]
        yield f"{first}-{rest[-1]}" if rest else str(first)


def _kafka(settings: Settings, group: str) -> Kafka:
    address = Address.of(settings)
    return Kafka(
        brokers=address.brokers,
        topic=TOPIC,
        group=group,
        user=address.user,
        password=address.password,
        mechanism=address.mechanism,
        tls=address.parameters.get("ssl_context"),
    )


def arrived(message: Message) -> Arrived:
    """The message, as it is taken in."""
    at = (message.partition, message.offset)
    if isinstance(message.body, Refused):
        return Arrived(KeptOut(message.body.decode()), *at)
    return Arrived.of(message.key, message.headers, message.body, *at)
