"""A chain of clubs: what it costs to publish a ledger, to take it in, and to share the work.

The other side of publishing is aiokafka with the same bytes, packed already. The other side of a
worker is the ordered tail, which follows the same ledger into a club's own tables. The broker is
the one of the tests, in memory: what a disk and replicas cost is not in these figures.
"""

import asyncio
import pickle
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import psutil
import psycopg
from aiokafka import AIOKafkaProducer

from infra.chain.intake import Arrived
from infra.chain.kafka import Topic
from infra.chain.ledgers import reading
from infra.chain.publishing import Publisher
from infra.chain.records import NOTHING, TOPIC, Record
from infra.chain.sending import packed
from infra.ledger.postgres import Connection, Postgres
from infra.ledger.schema import HEAD, number_in
from infra.settings import Settings
from projections.catalogue import DOCUMENTED, FIGURES
from projections.engine.model import Group
from tests.benchmarks.chains import (
    ASK_NOBODY,
    broker,
    come_to,
    have_partitions,
    in_process,
    made,
    taking_part,
    worker,
)
from tests.benchmarks.figures import Figure
from tests.benchmarks.postgres import checkpoint, create_database
from tests.benchmarks.projections import Log
from tests.benchmarks.seeding import fill

EVENTS, QUICK_EVENTS = 160_000, 40_000
ROUNDS, QUICK_ROUNDS = 5, 2

PUBLISHING_TARGET = 0.6
"""Of the rate of bare aiokafka."""
TAKING_TARGET = 0.6
"""Of the rate of the ordered tail."""
SHARING_TARGET = 1.15
"""CPU time of two workers, in that of one."""
BESIDE_TARGET = 1.1
"""The time for a club, in that without others beside it."""

LEDGERS = 8
"""Clubs that are shared out among workers."""
OTHERS, QUICK_OTHERS = 500, 100
OTHERS_EVENTS = 200
_BEGIN_ANEW = """
UPDATE ledger_publishing SET position = 0, digest = '', partition = NULL, "offset" = NULL
"""


def measure(url: str, home: Path, quick: bool) -> Iterator[Figure]:
    """Publishing, taking in, two workers, and one club beside many."""
    events, rounds = (QUICK_EVENTS, QUICK_ROUNDS) if quick else (EVENTS, ROUNDS)
    for group in (DOCUMENTED, FIGURES):
        log = Log(url, f"chain_{group.name}", events, group=group, years=10)
        if group is DOCUMENTED:
            yield _publishing(log.url, home, rounds)
        yield _taking(url, home, log, group, rounds)
    yield _sharing(url, home, events // LEDGERS, rounds)
    yield _beside(url, log.url, QUICK_OTHERS if quick else OTHERS, rounds)


# --- publishing --------------------------------------------------------------------------------


def _publishing(ledger: str, home: Path, rounds: int) -> Figure:
    records = asyncio.run(records_of(ledger))
    pickled = pickle.dumps(records)
    ours: list[float] = []
    theirs: list[float] = []
    for turn in range(rounds):
        for rates, work in (
            (ours, partial(publish, ledger)),
            (theirs, partial(_produce, pickled)),
        )[:: 1 - turn % 2 * 2]:
            with broker(home) as settings:
                rates.append(records[-1].last / in_process(work, settings))
    size = sum(len(one.body) for one in records)
    note = f"{size / records[-1].last:.0f} bytes an event"
    return Figure.of_rounds(
        "publishing a ledger, beside bare aiokafka with the same records",
        ours,
        theirs,
        PUBLISHING_TARGET,
        "events/s",
        note,
    )


async def records_of(ledger: str) -> list[Record]:
    """What a publisher makes of the whole ledger."""
    async with reading(ledger) as club:
        head = (await club.look(await _identity(ledger))).head
        rows = [raw async for s in club.after(0, NOTHING, head) for raw, _ in s.events]
    ledger_id, secret = await whose(ledger)
    return packed(ledger_id, secret, 0, NOTHING, rows)


async def _identity(ledger: str) -> str:
    return (await whose(ledger))[0]


async def whose(ledger: str) -> tuple[str, bytes]:
    """The identity of a ledger, and the secret of its publisher."""
    async with await psycopg.AsyncConnection.connect(ledger) as connection:
        cursor = await connection.execute(
            "SELECT id::text, secret FROM ledger_identity, ledger_publishing"
        )
        row = await cursor.fetchone()
    assert row is not None
    return row[0], row[1]


async def publish(ledger: str, settings: Settings) -> float:
    """The seconds in which all of the ledger is confirmed, from the beginning."""
    postgres, topic = Postgres(ledger), Topic(settings)
    publisher = Publisher(postgres, topic)
    async with await postgres.connect() as connection:
        await connection.execute(_BEGIN_ANEW)
        await connection.commit()
        head = await number_in(connection, HEAD)
        await connection.rollback()
        await publisher.step(connection)  # connects, and makes the topic
        begun, first = time.perf_counter(), await confirmed(connection)
        while await publisher.step(connection):
            pass
        seconds = time.perf_counter() - begun
        await topic.close()
        return seconds * head / (head - first)


async def confirmed(connection: Connection) -> int:
    """How far Kafka has the ledger."""
    found = await number_in(connection, "SELECT position FROM ledger_publishing")
    await connection.rollback()
    return found


async def _produce(pickled: bytes, settings: Settings) -> float:
    """The seconds in which bare aiokafka has the same records confirmed."""
    records: Sequence[Record] = pickle.loads(pickled)
    await Topic(settings).make()
    producer = AIOKafkaProducer(
        bootstrap_servers=str(settings.kafka_url).partition("://")[2],
        acks="all",
        enable_idempotence=settings.kafka_idempotence,
        max_batch_size=960 * 1024,
        max_request_size=2**23 + 2**16,
    )
    async with producer:
        first, *others = records
        await producer.send_and_wait(TOPIC, first.body, first.key, headers=first.headers)
        begun = time.perf_counter()
        sent = [await producer.send(TOPIC, r.body, r.key, headers=r.headers) for r in others]
        await asyncio.gather(*sent)
        return (time.perf_counter() - begun) * records[-1].last / (records[-1].last - first.last)


# --- taking in ---------------------------------------------------------------------------------


def _taking(url: str, home: Path, log: Log, group: Group, rounds: int) -> Figure:
    ours: list[float] = []
    theirs: list[float] = []
    for turn in range(rounds):
        for is_ours in (turn % 2 == 0, turn % 2 == 1):
            if not is_ours:
                theirs.append(log.events / log.tail().seconds)
                continue
            with ExitStack() as opened:
                settings = opened.enter_context(broker(home))
                chain = made(url, f"chain_{group.name}_{turn}", [log.url])
                in_process(partial(publish, log.url), settings)
                checkpoint(url)
                pid = opened.enter_context(worker(home, settings, chain, group.name))
                ours.append(_rate(chain, log.events, pid))
    name = f"one worker into the {group.name} tables of a chain, beside the ordered tail"
    return Figure.of_rounds(name, ours, theirs, TAKING_TARGET, "events/s")


def _rate(chain: str, events: int, pid: int) -> float:
    """Events a second, from the first that are there."""
    first, begun = come_to(chain, 1, pid), time.perf_counter()
    come_to(chain, events, pid)
    return (events - first) / (time.perf_counter() - begun)


# --- two workers -------------------------------------------------------------------------------


def _sharing(url: str, home: Path, events: int, rounds: int) -> Figure:
    """CPU time for each event, of both workers together."""
    ledgers = []
    for number in range(LEDGERS):
        ledgers.append(create_database(url, f"chain_shared_{number}"))
        asyncio.run(fill(ledgers[-1], events))
    costs: dict[int, list[float]] = {1: [], 2: []}
    for turn in range(rounds):
        for workers in (1, 2)[:: 1 - turn % 2 * 2]:
            name = f"chain_sharing_{turn}_{workers}"
            costs[workers].append(_cost(url, home, name, ledgers, workers))
    return Figure.of_rounds(
        f"CPU time an event of two workers over {LEDGERS} clubs, beside that of one",
        costs[2],
        costs[1],
        SHARING_TARGET,
        "us",
        at_most=True,
    )


def _cost(url: str, home: Path, name: str, ledgers: Sequence[str], workers: int) -> float:
    """Microseconds of CPU time an event, once all workers have their partitions."""
    with ExitStack() as opened:
        settings = opened.enter_context(broker(home))
        chain = made(url, name, ledgers)
        running = [
            psutil.Process(opened.enter_context(worker(home, settings, chain, FIGURES.name)))
            for _ in range(workers)
        ]
        have_partitions(chain, workers)
        before = sum(map(_cpu, running))
        for ledger in ledgers:
            in_process(partial(publish, ledger), settings)
        events = sum(map(_head, ledgers))
        come_to(chain, events, running[0].pid)
        return (sum(map(_cpu, running)) - before) / events * 1e6


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _head(ledger: str) -> int:
    with psycopg.connect(ledger) as connection:
        row = connection.execute(HEAD).fetchone()
    assert row is not None
    return int(row[0])


# --- one beside many ---------------------------------------------------------------------------


def _beside(url: str, ledger: str, others: int, rounds: int) -> Figure:
    """The seconds for one club's events, where many other clubs are, and where none is."""
    records = asyncio.run(records_of(ledger))
    pickled = pickle.dumps(records)
    ours: list[float] = []
    theirs: list[float] = []
    for turn in range(rounds):
        for many, seconds in ((others, ours), (0, theirs))[:: 1 - turn % 2 * 2]:
            chain = made(url, f"chain_beside_{turn}_{many}", [ledger])
            asyncio.run(_crowd(chain, records, many))
            checkpoint(url)
            seconds.append(in_process(partial(_take, pickled, chain), Settings()))
    return Figure.of_rounds(
        f"taking in a club with {others} clubs beside it, beside alone",
        ours,
        theirs,
        BESIDE_TARGET,
        "s",
        at_most=True,
    )


async def _crowd(chain: str, records: Sequence[Record], many: int) -> None:
    """So many other clubs, each with a beginning of the same history."""
    rows = [raw for record in records[:2] for raw, _ in record.stored()][:OTHERS_EVENTS]
    async with taking_part(chain) as (store, intake):
        async with await store.connect(autocommit=True) as connection:
            for number in range(many):
                await connection.execute(
                    "INSERT INTO chain_clubs (name, ledger, url, secret) VALUES (%s, %s, '', %s)",
                    [f"other-{number}", f"other-{number}", b"secret"],
                )
            await connection.execute(ASK_NOBODY.encode())
        for number in range(many):
            history = packed(f"other-{number}", b"secret", 0, NOTHING, rows)
            await intake.take([Arrived(one, 0, 0) for one in history])


async def _take(pickled: bytes, chain: str, _: Settings) -> float:
    """The seconds for all records of one club."""
    records: Sequence[Record] = pickle.loads(pickled)
    arrived = [Arrived(record, 0, place) for place, record in enumerate(records)]
    async with taking_part(chain) as (_store, intake):
        await intake.take(arrived[:1])  # connects
        begun = time.perf_counter()
        for first in range(1, len(arrived), 32):
            await intake.take(arrived[first : first + 32])
        return time.perf_counter() - begun
