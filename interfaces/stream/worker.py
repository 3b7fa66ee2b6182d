"""A worker's half of Kafka: which partitions are its own, and what comes in them, by Faust.

Faust shares the partitions among the workers and fetches. Nothing that rests on its word is done
here: what comes is put into a queue, and whoever takes it from there knows by itself what it has
already (the positions in the chain's Postgres). So nothing is acknowledged, no offset is stored in
Kafka, and where to begin is a guess from what is in Postgres: too early costs time, and what is
missing where it was too late is read from the clubs' ledgers.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import faust
from aiokafka.errors import IllegalStateError, KafkaError
from faust.app.base import BootStrategy
from faust.auth import SASLCredentials, SSLCredentials
from faust.exceptions import ConsumerNotStarted
from faust.transport.drivers.aiokafka import Consumer, Transport
from mode.supervisors import CrashingSupervisor

MARGIN = timedelta(minutes=2)
"""How much earlier than the last event that was taken a worker begins: clocks differ."""

MOST_FETCHED = 64
"""Messages that wait to be taken, at most; and as many in Faust."""

SESSION = 10.0
"""Seconds without a sign of life after which Kafka gives a worker's partitions to others."""

SETTLES = 2.0
"""Seconds in which a worker knows from where it reads its partitions, unless they change."""

LAST_WORDS = 10.0
"""Seconds in which a worker lets go of Kafka, if Kafka is there to be let go of."""

Begin = Callable[[], Awaitable[Mapping[str, datetime]]]
"""When each ledger was last taken from; those of which nothing was are not in it."""

# What ends a worker is told by whoever runs it; the rest is the ordinary life of a group.
for name, level in (
    ("aiokafka", logging.CRITICAL),
    ("faust", logging.ERROR),
    ("mode", logging.ERROR),
):
    logging.getLogger(name).setLevel(level)


class Message(NamedTuple):
    """What somebody wrote into the topic."""

    partition: int
    offset: int
    key: bytes | None
    headers: list[tuple[str, bytes | None]]
    body: bytes | None
    """Or why there is none, see `infra.chain.fetched`."""


@dataclass(frozen=True, slots=True)
class Kafka:
    """Where it is, and what this worker is called there."""

    brokers: str
    topic: str
    group: str
    """All workers of a group share the partitions."""
    user: str | None = None
    password: str | None = None
    mechanism: str | None = None
    tls: Any = None
    """The context of TLS, where it is spoken."""

    @property
    def credentials(self) -> Any:
        """As Faust takes them."""
        if self.user is not None:
            return SASLCredentials(
                username=self.user,
                password=self.password,
                mechanism=self.mechanism,
                ssl_context=self.tls,
            )
        return None if self.tls is None else SSLCredentials(context=self.tls)


class WorkerDied(Exception):
    """Faust does not go on."""


class NotReading(Exception):
    """Faust has not begun to read."""


class Worker:
    """What comes in from Kafka, until it ends; whatever ends it otherwise ends the process."""

    def __init__(self, kafka: Kafka, begin: Begin) -> None:
        self.messages: asyncio.Queue[Message] = asyncio.Queue(MOST_FETCHED)
        self.came_at = time.monotonic()
        """When something came last, or when nothing was there to come."""
        self._ends: dict[Any, int] = {}
        """Where partitions ended at the last look."""
        self._app = _app(kafka, begin)
        topic = self._app.topic(
            kafka.topic, key_serializer="raw", value_serializer="raw", acks=False
        )
        self._agent = self._app.agent(topic, name="ledgers")(self._bring)

    @property
    def partitions(self) -> list[int]:
        """Those that are its own now."""
        try:
            return sorted(place.partition for place in self._app.consumer.assignment())
        except ConsumerNotStarted:
            return []

    async def run(self) -> None:
        """Bring what comes, until cancelled; raises WorkerDied."""
        try:
            await self._app.start()
        except (KafkaError, OSError) as fault:
            raise WorkerDied(type(fault).__name__) from None  # it may name addresses
        try:
            await self._app.wait_until_stopped()
            raise WorkerDied(type(self._app.crash_reason).__name__)
        finally:
            with suppress(TimeoutError):
                async with asyncio.timeout(LAST_WORDS):
                    await self._app.stop()

    async def look(self) -> None:
        """Note whether there is something in Kafka that does not come.

        Raises WorkerDied where the topic was made anew, NotReading, or KafkaError.
        """
        try:
            mine = self._app.consumer.assignment()
        except ConsumerNotStarted:
            raise NotReading from None
        ends = await self._app.consumer.highwaters(*mine) if mine else {}
        if any(end < self._ends.get(place, 0) for place, end in ends.items()):
            # What comes again in it would be taken for what was there before.
            raise WorkerDied("the topic was made anew")
        self._ends.update(ends)
        reached = await self._app.consumer.positions(mine)
        there = any(end > reached.get(place, 0) for place, end in ends.items())
        if not there or self.messages.full():
            self.came_at = time.monotonic()

    async def _bring(self, stream: Any) -> None:
        async for event in stream.events():
            message = event.message
            headers = list(message.headers or ())
            await self.messages.put(
                Message(message.partition, message.offset, message.key, headers, message.value)
            )
            self.came_at = time.monotonic()


def _app(kafka: Kafka, begin: Begin) -> Any:
    return _App(
        kafka.group,
        begin=begin,
        topic_read=kafka.topic,
        broker=[f"kafka://{broker}" for broker in kafka.brokers.split(",")],
        broker_credentials=kafka.credentials,
        broker_session_timeout=SESSION,
        broker_heartbeat_interval=SESSION / 5,
        broker_rebalance_timeout=SESSION,
        broker_request_timeout=3 * SESSION,
        consumer_auto_offset_reset="earliest",
        stream_buffer_maxsize=MOST_FETCHED,
        stream_wait_empty=False,
        agent_supervisor=CrashingSupervisor,
        autodiscover=False,
        store="memory://",
        table_standby_replicas=0,
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
    )


class _Boot(BootStrategy):
    """It writes nothing into Kafka."""

    enable_kafka_producer = False


class _App(faust.App):
    BootStrategy = _Boot

    def __init__(self, name: str, *, begin: Begin, topic_read: str, **options: Any) -> None:
        self.begin = begin
        self.topic_read = topic_read
        super().__init__(name, **options)

    async def on_first_start(self) -> None:
        """Make no folder: all that Faust would keep in one is in memory."""

    async def _on_agent_error(self, _: Any, fault: BaseException) -> None:
        """What leaves an agent takes with it what was on its way: it is not to go on."""
        await self.crash(fault)

    def _new_transport(self) -> Any:
        return _Transport(self.conf.broker_consumer, self)


class _Consumer(Consumer):
    """Reads from where Postgres says, and stores nothing in Kafka."""

    app: _App

    async def seek_to_committed(self) -> Mapping[Any, int]:
        """Begin, in each partition, a little before the last event that was taken in it."""
        mine = self.assignment()
        offsets = dict(await self.earliest_offsets(*mine))
        moments = self._moments(await self.app.begin())
        asked = {place: moments[place.partition] for place in mine if place.partition in moments}
        if asked:
            ends = await self.highwaters(*asked)
            for place, found in (await self._at(asked)).items():
                offsets[place] = ends[place] if found is None else found
        try:
            await self.seek_wait(offsets)
        except IllegalStateError:
            return {}  # They are others' by now, and it is asked again.
        return offsets

    async def positions(self, places: Collection[Any]) -> Mapping[Any, int]:
        """From where each partition is read on, whatever was between the messages."""
        reading = self._thread._ensure_consumer()

        async def found() -> dict[Any, int]:
            async with asyncio.timeout(SETTLES):
                return {place: await reading.position(place) for place in places}

        try:
            reached: Mapping[Any, int] = await self._thread.call_thread(found)
        except (IllegalStateError, TimeoutError):
            return {}  # Some are others' by now, or it is not yet decided where to begin.
        return reached

    def _moments(self, taken: Mapping[str, datetime]) -> dict[int, int]:
        """From when to read each partition, in Kafka's milliseconds."""
        found: dict[int, int] = {}
        for ledger, moment in taken.items():
            partition = self.key_partition(self.app.topic_read, ledger.encode())
            if partition is not None:
                since = int((moment - MARGIN).timestamp() * 1000)
                found[partition] = max(since, found.get(partition, 0))
        return found

    async def _at(self, moments: Mapping[Any, int]) -> Mapping[Any, int | None]:
        """The first message since these moments; None where there is none."""
        thread = self._thread
        found = await thread.call_thread(thread._ensure_consumer().offsets_for_times, dict(moments))
        return {
            place: None if at is None or at.timestamp < 0 else at.offset
            for place, at in found.items()
        }

    async def _commit(self, offsets: Mapping[Any, int]) -> bool:  # noqa: ARG002
        """Kafka's offsets are not used."""
        return True


class _Transport(Transport):
    Consumer = _Consumer
