"""Publishing: the ledger in the chain's topic, to the byte, whatever is killed, frozen or lost."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiokafka.client
import aiokafka.conn
import psycopg
import pytest

from infra.bootstrap import open_club
from infra.chain import publishing
from infra.chain.kafka import Address, Topic, kept
from infra.chain.publishing import Publisher
from infra.chain.records import COLUMNS, MOST_EVENTS, NOTHING, Record, digest, position_of
from infra.ledger.postgres import Postgres
from infra.settings import Settings
from tests.kafka import KafkaServer, in_topic, private_kafka
from tests.projections.histories import record, rich
from tests.waiting import until

PATIENCE = 40.0
CLUB = Path(sys.executable).with_name("club")


@pytest.fixture
def kafka() -> Iterator[KafkaServer]:
    with private_kafka() as server:
        yield server


@pytest.fixture
def chained(settings: Settings, kafka: KafkaServer) -> Settings:
    return settings.model_copy(update={"kafka_url": kafka.url, "kafka_idempotence": False})


@asynccontextmanager
async def publishing_to(chained: Settings) -> AsyncIterator[Publisher]:
    """A publisher at work."""
    publisher = Publisher(Postgres(chained.database_url or ""), Topic(chained))
    task = asyncio.create_task(publisher.run())
    try:
        yield publisher
    finally:
        task.cancel()
        await asyncio.wait([task])
    assert task.cancelled(), "it ends when it is told to, and never by itself"


async def one(database: str, sql: str) -> tuple[Any, ...]:
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        row = await (await connection.execute(sql.encode())).fetchone()
    assert row is not None
    return row


async def is_out(database: str) -> bool:
    """Whether Kafka has confirmed all of the ledger."""
    behind = "SELECT position = (SELECT count(*) FROM ledger_events) FROM ledger_publishing"
    return bool((await one(database, behind))[0])


async def stored(database: str) -> list[bytes]:
    """Every event as it is stored."""
    sql = f"SELECT record_send(e) FROM (SELECT {COLUMNS} FROM ledger_events ORDER BY 1) AS e"
    async with await psycopg.AsyncConnection.connect(database) as connection:
        cursor = await connection.execute(sql.encode(), binary=True)
        return [row for (row,) in await cursor.fetchall()]


async def taken(kafka: KafkaServer, database: str) -> list[bytes]:
    """The events of the topic as the chain takes them: repeats dropped, and no hole in them."""
    ledger, secret = await one(
        database, "SELECT (SELECT id::text FROM ledger_identity), secret FROM ledger_publishing"
    )
    rows: list[bytes] = []
    for message in await in_topic(kafka):
        found = Record.of(message.key, message.headers, message.value)
        found.verify(secret)
        assert found.ledger == ledger
        assert len(found.rows()) <= MOST_EVENTS
        if found.prev > len(rows):
            continue  # A topic that lost its memory: it comes again.
        assert found.before == (digest(rows[found.prev - 1]) if found.prev else NOTHING)
        rows += [row for row in found.rows() if position_of(row) > len(rows)]
    return rows


async def test_the_whole_ledger_is_in_the_topic_and_again_where_the_broker_lost_its_memory(
    chained: Settings, kafka: KafkaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = chained.database_url or ""
    events = rich(5000).events
    await record(database, events[:4500])
    monkeypatch.setattr(publishing, "LOOK", 0.5)
    async with publishing_to(chained) as publisher:
        await until(lambda: is_out(database), "all is out", PATIENCE)
        assert await taken(kafka, database) == await stored(database)
        kafka.stop()
        await record(database, events[4500:], head=4500)
        publisher.follower.wake()

        async def stands() -> bool:
            return publisher.follower.standstill is not None

        await until(stands, "it says that Kafka is away", PATIENCE)
        kafka.start()

        async def is_refilled() -> bool:
            return await is_out(database) and await taken(kafka, database) == await stored(database)

        await until(is_refilled, "all is in a topic that was empty", PATIENCE)
        assert publisher.follower.standstill is None


@pytest.fixture
def publishers(chained: Settings) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Three processes that publish one ledger."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("CLUB_")},
        "CLUB_HOME": str(chained.home),
        "CLUB_DATABASE_URL": chained.database_url or "",
        "CLUB_KAFKA_URL": chained.kafka_url or "",
        "CLUB_KAFKA_IDEMPOTENCE": "false",
    }
    started = [subprocess.Popen([CLUB, "publish"], env=environment) for _ in range(3)]
    yield started
    for publisher in started:
        publisher.kill()
        publisher.wait()


async def health_of(chained: Settings) -> tuple[Any, ...]:
    """How the publisher is, as the club says."""
    async with open_club(chained, projecting=False) as club:
        shown = (await club.health()).report["components"]["publisher"]
        return shown["status"], shown["position"], shown["lag"]


async def test_of_publishers_that_are_killed_and_frozen_the_others_go_on(
    chained: Settings, kafka: KafkaServer, publishers: list[subprocess.Popen[bytes]]
) -> None:
    database = chained.database_url or ""
    events = rich(4200).events
    killed, frozen, _ = publishers

    async def add(upto: int) -> None:
        (head,) = await one(database, "SELECT count(*) FROM ledger_events")
        await record(database, events[head:upto], head=head)

    async def all_out() -> None:
        await until(lambda: is_out(database), "all is out", PATIENCE)
        assert await taken(kafka, database) == await stored(database)

    await add(1000)
    await all_out()
    assert await health_of(chained) == ("running", 1000, 0)
    for upto in range(1500, 4001, 500):
        await add(upto)
        if upto == 2000:
            killed.kill()
        if upto == 3000:
            frozen.send_signal(signal.SIGSTOP)
    await all_out()
    frozen.send_signal(signal.SIGCONT)
    await add(4200)
    await all_out()
    assert [p.poll() for p in publishers] == [-signal.SIGKILL, None, None]
    frozen.terminate()
    assert frozen.wait(PATIENCE) == 0


async def test_a_ledger_that_was_shortened_is_not_published_until_a_person_looked(
    chained: Settings,
) -> None:
    database = chained.database_url or ""
    events = rich(600).events
    await record(database, events[:500])
    async with publishing_to(chained) as publisher:
        await until(lambda: is_out(database), "all is out", PATIENCE)
        for cut in ("notification_id > 400", "notification_id > 490"):
            async with await psycopg.AsyncConnection.connect(database) as connection:
                await connection.execute("ALTER TABLE ledger_events DISABLE TRIGGER USER")
                await connection.execute(f"DELETE FROM ledger_events WHERE {cut}".encode())
                await connection.execute("ALTER TABLE ledger_events ENABLE TRIGGER USER")
            if cut.endswith("490"):  # And grown again, another way.
                await record(database, events[410:600], head=400)
            publisher.follower.wake()

            async def says_so() -> bool:
                why = publisher.follower.standstill
                return why is not None and why.reason.endswith("is not in the ledger any more.")

            await until(says_so, "it stands still", PATIENCE)
        assert await one(database, "SELECT position FROM ledger_publishing") == (500,)


@asynccontextmanager
async def slow_link(
    kafka: KafkaServer, rate: int, patch: pytest.MonkeyPatch
) -> AsyncIterator[None]:
    """What is sent to Kafka gets there at so many bytes a second."""
    there = int(kafka.brokers.partition(":")[2])
    connect = aiokafka.conn.create_conn

    async def slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, wait: int) -> None:
        while data := await reader.read(8192):
            await asyncio.sleep(len(data) / rate * wait)
            writer.write(data)
            with suppress(ConnectionError):
                await writer.drain()
        writer.close()

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_connection("127.0.0.1", there)
        await asyncio.gather(slowly(reader, forth, 1), slowly(back, writer, 0))

    async def through(host: str, port: int, **given: Any) -> Any:
        return await connect(host, by if port == there else port, **given)

    link = await asyncio.start_server(pass_on, "127.0.0.1", 0)
    by = link.sockets[0].getsockname()[1]
    patch.setattr(aiokafka.client, "create_conn", through)
    yield
    patch.setattr(aiokafka.client, "create_conn", connect)
    link.close()


async def test_over_a_slow_link_what_arrived_is_written_down_and_not_sent_for_ever(
    chained: Settings, kafka: KafkaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Less than a request in the time in which Kafka has to answer."""
    database = chained.database_url or ""
    monkeypatch.setattr("infra.chain.kafka.PATIENCE", 2.0)
    monkeypatch.setattr(publishing, "PATIENCE", 2.0)
    monkeypatch.setattr(publishing, "LONGEST_TURN", 1.0)
    monkeypatch.setattr(publishing, "SLOW", 0.2)
    await record(database, rich(4000).events[:4000])
    due = await stored(database)
    reached: list[int] = []

    async def all_out() -> bool:
        reached.append((await one(database, "SELECT position FROM ledger_publishing"))[0])
        return await is_out(database)

    async with slow_link(kafka, 200_000, monkeypatch), publishing_to(chained):
        await until(all_out, "all is out", PATIENCE)
    assert len(set(reached)) > 5
    assert reached == sorted(reached)
    assert await taken(kafka, database) == due
    sent = sum(len(message.value) for message in await in_topic(kafka))
    assert sent < 4 * sum(map(len, due)), "twice too much was tried, and no more"


async def test_an_event_that_is_too_large_for_the_topic_is_named_with_what_to_set(
    chained: Settings,
) -> None:
    database = chained.database_url or ""
    await record(database, rich(50).events[:50])
    large = """INSERT INTO ledger_events (originator_id, originator_version, topic, state,
        notification_id, actor, command, command_id, correlation_id, causation_id)
        VALUES ('client-999', 1, 'client.noted', convert_to(repeat('x', 9000000), 'UTF8'), 51,
        '', '', '', '', '')"""
    async with await psycopg.AsyncConnection.connect(database) as connection:
        await connection.execute(large.encode())
    async with publishing_to(chained) as publisher:

        async def says_so() -> bool:
            why = publisher.follower.standstill
            return why is not None and why.position == 51

        await until(says_so, "it stands still there", PATIENCE)
        why = publisher.follower.standstill
        assert why is not None
        assert why.topic == "client.noted"
        assert "max.message.bytes" in why.reason
    assert await one(database, "SELECT position FROM ledger_publishing") == (50,)


async def test_a_topic_that_was_lost_is_filled_again_by_whoever_takes_over(
    chained: Settings, kafka: KafkaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = chained.database_url or ""
    events = rich(900).events
    await record(database, events[:600])
    async with publishing_to(chained):
        await until(lambda: is_out(database), "all is out", PATIENCE)
        kafka.stop()
        kafka.start()
        # It sends what is new before it looks; then another takes over.
        monkeypatch.setattr(publishing.Publisher, "_is_due", lambda _: False)
        await record(database, events[600:900], head=600)
        await until(lambda: is_out(database), "all is out", PATIENCE)
    monkeypatch.undo()
    async with publishing_to(chained):

        async def is_refilled() -> bool:
            return await is_out(database) and await taken(kafka, database) == await stored(database)

        await until(is_refilled, "all is in the topic", PATIENCE)


async def test_a_topic_that_was_lost_is_filled_again_with_as_many_partitions_as_it_has_now(
    chained: Settings, kafka: KafkaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = chained.database_url or ""
    of_partition_6 = "UPDATE ledger_identity SET id = lpad('16', 32, '0')::uuid RETURNING id"
    await one(database, of_partition_6)
    events = rich(900).events
    await record(database, events[:600])
    monkeypatch.setattr(publishing, "LOOK", 0.5)
    async with publishing_to(chained.model_copy(update={"kafka_partitions": 8})) as publisher:
        await until(lambda: is_out(database), "all is out", PATIENCE)
        assert await one(database, "SELECT partition FROM ledger_publishing") == (6,)
        with monkeypatch.context() as unseen:
            unseen.setattr(publishing.Publisher, "_is_due", lambda _: False)
            kafka.stop()
            await record(database, events[600:900], head=600)

            async def waits() -> bool:
                return publisher.follower.standstill is not None

            await until(waits, "it waits for what it has sent", PATIENCE)
            kafka.start()
            await Topic(chained.model_copy(update={"kafka_partitions": 1})).make()
            # The publisher knows of the partitions that there were.
            await until(lambda: is_out(database), "all is out", PATIENCE)

        async def is_refilled() -> bool:
            return await is_out(database) and await taken(kafka, database) == await stored(database)

        await until(is_refilled, "all is in the one partition", PATIENCE)


def test_an_address_says_who_we_are_and_how_it_is_said() -> None:
    def given(url: str, mechanism: str = "SCRAM-SHA-512") -> dict[str, Any]:
        found = Address.of(Settings(kafka_url=url, kafka_mechanism=mechanism)).parameters
        return {name: found[name] for name in found if name.startswith(("boot", "sec", "sasl"))}

    assert given("kafka://a:9092,b:9093") == {
        "bootstrap_servers": "a:9092,b:9093",
        "security_protocol": "PLAINTEXT",
    }
    assert given("kafkas://club:s%40crt@a:9092") == {
        "bootstrap_servers": "a:9092",
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "club",
        "sasl_plain_password": "s@crt",
    }
    assert given("kafka://a:1@b:2", "PLAIN")["sasl_mechanism"] == "PLAIN"


@pytest.mark.parametrize(("copies", "least"), [(1, None), (2, None), (3, "2")])
def test_of_three_copies_two_have_to_be_there(copies: int, least: str | None) -> None:
    assert kept(copies).get("min.insync.replicas") == least
