"""The topic of a chain in Kafka, as it is written and looked at; nothing of it is ever deleted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import unquote

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    KafkaError,
    MessageSizeTooLargeError,
    NoError,
    OffsetOutOfRangeError,
    RecordListTooLargeError,
    RequestTimedOutError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    for_code,
)
from aiokafka.helpers import create_ssl_context

import infra.chain.fetched  # noqa: F401 - it takes apart what is read here
from infra.chain.records import LONGEST, TOPIC, Record
from infra.faults import Fault
from infra.settings import Settings

PATIENCE = 10.0
"""Seconds in which Kafka has to answer."""

LONGEST_LOOK = 6.0
"""The same, where somebody's turn waits for it."""

COMES_BY = 4.0
"""Seconds in which a message that is there is answered."""

SILENT = "it was silent for too long"

AROUND = 64 * 1024
"""Bytes of a batch beside the body of its record."""

BATCH = 960 * 1024
"""Bytes of records that are sent as one; a topic that was made by hand takes 1 MiB."""

COPIES = 3
"""Brokers that keep a record, where there are so many."""

# While Kafka is away, that is no error, and our own warnings say it without tracebacks.
logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


class KafkaAway(Fault):
    """Kafka does not answer as it should: {why}."""


class RecordTooLarge(Exception):
    """A record that has more bytes than Kafka takes."""

    def __init__(self, record: Record) -> None:
        super().__init__(f"{len(record.body)} bytes")
        self.record = record


class Place(NamedTuple):
    """Where a record is in the topic."""

    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Address:
    """Where a Kafka is, and who we are to it."""

    brokers: str
    user: str | None
    password: str | None
    tls: bool
    mechanism: str

    @classmethod
    def of(cls, settings: Settings) -> Address:
        """That of CLUB_KAFKA_URL, which is set."""
        scheme, _, rest = (settings.kafka_url or "").partition("://")
        who, _, brokers = rest.rpartition("@")
        user, _, password = who.partition(":")
        return cls(
            brokers=brokers,
            user=unquote(user) or None,
            password=unquote(password) or None,
            tls=scheme == "kafkas",
            mechanism=settings.kafka_mechanism,
        )

    @property
    def parameters(self) -> dict[str, Any]:
        """As all of aiokafka's clients take them."""
        given: dict[str, Any] = {"bootstrap_servers": self.brokers, "client_id": "club"}
        given["request_timeout_ms"] = int(PATIENCE * 1000)
        kind = "SSL" if self.tls else "PLAINTEXT"
        if self.tls:
            given["ssl_context"] = create_ssl_context()
        if self.user is not None:
            kind = f"SASL_{kind}"
            given["sasl_mechanism"] = self.mechanism
            given["sasl_plain_username"] = self.user
            given["sasl_plain_password"] = self.password
        return {**given, "security_protocol": kind}


class Topic:
    """The chain's topic, as a publisher has it; raises KafkaAway."""

    def __init__(self, settings: Settings) -> None:
        self._address = Address.of(settings).parameters
        self._partitions = settings.kafka_partitions
        self._idempotence = settings.kafka_idempotence
        self._producer: AIOKafkaProducer | None = None

    async def make(self) -> None:
        """See to it that the topic is there; one that somebody made stays as it is."""
        async with _answered(PATIENCE):
            await self._make()

    async def answers(self) -> bool:
        """Whether it says to somebody who comes anew where the topic ends."""
        consumer = AIOKafkaConsumer(**self._address, enable_auto_commit=False)
        try:
            async with _answered(LONGEST_LOOK):
                try:
                    await consumer.start()
                    await consumer.topics()
                    there = consumer.partitions_for_topic(TOPIC) or ()
                    await consumer.end_offsets([TopicPartition(TOPIC, one) for one in there])
                finally:
                    await consumer.stop()
        except KafkaAway:
            return False
        return True

    async def lost(self, place: Place | None, key: bytes, last: int) -> bool:
        """Whether the ledger's record up to this position is gone, before its time was over.

        The topic is made where there is none; one that somebody made stays as it is.
        """
        async with _answered(LONGEST_LOOK):
            await self._make()
            return place is not None and not await self._holds(place, key, last)

    async def send(self, record: Record, place: asyncio.Future[Place]) -> None:
        """Have a record sent, as soon as there is room; `place` will be where it is.

        What refuses it, KafkaAway or RecordTooLarge, is told there, too.
        """
        try:
            producer = await self._sending()
            sent = await producer.send(
                TOPIC, value=record.body, key=record.key, headers=record.headers
            )
        except KafkaError as fault:
            _refuse(place, record, fault)
        else:
            sent.add_done_callback(partial(_settle, place, record))

    async def close(self) -> None:
        """Let go of Kafka; what is not confirmed by then may be there, or not."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await _end(producer)

    async def _make(self) -> None:
        admin = AIOKafkaAdminClient(**self._address)
        try:
            await admin.start()
            brokers = len((await admin.describe_cluster())["brokers"])
            copies = min(COPIES, brokers)
            topic = NewTopic(TOPIC, self._partitions, copies, None, kept(copies))
            answer = await admin.create_topics([topic])
        finally:
            await admin.close()
        fault = for_code(answer.topic_errors[0][1])
        if fault not in _WELL:
            raise fault

    async def _holds(self, place: Place, key: bytes, last: int) -> bool:
        at = TopicPartition(TOPIC, place.partition)
        consumer = AIOKafkaConsumer(
            **self._address, enable_auto_commit=False, auto_offset_reset="none"
        )
        try:
            await consumer.start()
            await consumer.topics()  # One that reads nothing yet knows of none by itself.
            if place.partition not in (consumer.partitions_for_topic(TOPIC) or ()):
                return False
            if place.offset < (await consumer.beginning_offsets([at]))[at]:
                return True
            consumer.assign([at])
            consumer.seek(at, place.offset)
            found = await _first(consumer)
            if found is None and place.offset < (await consumer.end_offsets([at]))[at]:
                raise RequestTimedOutError
        finally:
            await consumer.stop()
        return (
            found is not None
            and found.key == key
            and dict(found.headers).get("last") == str(last).encode()
        )

    async def _sending(self) -> AIOKafkaProducer:
        if self._producer is None:
            producer = AIOKafkaProducer(
                **self._address,
                acks="all",
                enable_idempotence=self._idempotence,
                max_batch_size=BATCH,
                max_request_size=LONGEST + AROUND,
            )
            try:
                await producer.start()
            except BaseException:
                await _end(producer)
                raise
            self._producer = producer
        return self._producer


def _settle(place: asyncio.Future[Place], record: Record, sent: asyncio.Future[Any]) -> None:
    """Tell what became of a record, where somebody still waits for it."""
    if sent.cancelled():
        _refuse(place, record, RequestTimedOutError())
    elif (fault := sent.exception()) is not None:
        _refuse(place, record, fault)
    elif not place.done():
        place.set_result(Place(sent.result().partition, sent.result().offset))


def _refuse(place: asyncio.Future[Place], record: Record, fault: BaseException) -> None:
    if place.done():
        return
    if isinstance(fault, MessageSizeTooLargeError | RecordListTooLargeError):
        place.set_exception(RecordTooLarge(record))
    else:
        place.set_exception(KafkaAway(why=type(fault).__name__))


_WELL = {
    NoError,
    TopicAlreadyExistsError,
    # Somebody else makes topics there; where nobody has, what is sent says so.
    ClusterAuthorizationFailedError,
    TopicAuthorizationFailedError,
}
"""What may be said of a topic that we would make."""


def kept(copies: int) -> dict[str, str]:
    """How the topic keeps what is in it, with so many copies of each record."""
    largest = {"max.message.bytes": str(LONGEST + AROUND)}
    # Of three, one may be away; the last one alone confirms nothing that it might lose.
    return {**largest, "min.insync.replicas": "2"} if copies >= COPIES else largest


async def _first(consumer: AIOKafkaConsumer) -> Any | None:
    """The message from which it reads on; None where none comes in a while."""
    try:
        async with asyncio.timeout(COMES_BY):
            return await consumer.getone()
    except (TimeoutError, OffsetOutOfRangeError):
        return None


async def _end(producer: AIOKafkaProducer) -> None:
    """End it without a wait for what is not confirmed, for which its own `stop` waits for ever."""
    producer._closed = True
    await producer._sender.close()
    await producer.client.close()


@asynccontextmanager
async def _answered(within: float) -> AsyncIterator[None]:
    """What is asked of Kafka, within so many seconds; raises KafkaAway."""
    try:
        async with asyncio.timeout(within):
            yield
    except TimeoutError:
        raise KafkaAway(why=SILENT) from None
    except KafkaError as fault:
        # What it says in full may name addresses.
        raise KafkaAway(why=type(fault).__name__) from fault
