"""Each step from a club's ledger into the tables of a chain, by itself, and what it costs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path

import uvloop

from infra.chain.intake import Arrived
from infra.chain.kafka import Address, Topic
from infra.chain.keeping_up import KeepingUp
from infra.chain.ledgers import reading
from infra.chain.publishing import Publisher
from infra.chain.records import MOST_EVENTS, NOTHING, TOPIC, Record, digest, position_of
from infra.chain.store import InChain
from infra.chain.stretches import Stretch
from infra.ledger import feed
from infra.ledger.postgres import Postgres
from infra.settings import Settings
from interfaces.stream.worker import Kafka, Worker
from projections.engine.folding import fold_batch
from projections.engine.model import Group
from projections.engine.writing import load_of_club
from tests.benchmarks.append import entry, writing
from tests.benchmarks.chain import confirmed, whose
from tests.benchmarks.chains import broker, in_process, made, sent, taking_part
from tests.benchmarks.costs import Measured, Meter, Spent
from tests.benchmarks.postgres import checkpoint, create_database
from tests.benchmarks.servers import Broken

FEW = 4
"""Events in a record of a quiet hour."""
AT_ONCE = 64
"""Commands in flight at a busy hour."""
LOOKS = 100
WARM_UP = 10
"""One record in so many is taken before it is measured: statements are prepared by then."""


# --- a club's side -----------------------------------------------------------------------------


def appending(url: str, in_flight: int, commands: int) -> Measured:
    """Commands of one event each, so many at once, each on disk before it is answered."""
    database = create_database(url, f"scale_appending_{in_flight}")
    return uvloop.run(_append(database, in_flight, commands // in_flight))


async def _append(url: str, in_flight: int, each: int) -> Measured:
    async with writing(url) as writer:

        async def serve(many: int) -> None:
            for _ in range(many):
                await writer.append(entry())

        await serve(AT_ONCE)
        meter = Meter(url)
        before = meter.read()
        await asyncio.gather(*(serve(each) for _ in range(in_flight)))
        return Measured(in_flight * each, in_flight * each, meter.since(before))


def publishing_few(url: str, home: Path, turns: int) -> Measured:
    """A turn of the publisher for every command of few events."""
    spent = []
    for publishing in (True, False):
        database = create_database(url, f"scale_publishing_{publishing}")
        with broker(home) as settings:
            spent.append(uvloop.run(_take_turns(database, settings, turns, publishing)))
    return Measured(turns, turns * FEW, spent[0].but(spent[1]))


async def _take_turns(url: str, settings: Settings, turns: int, publishing: bool) -> Spent:
    topic = Topic(settings)
    publisher = Publisher(Postgres(url), topic)
    async with writing(url) as writer, await Postgres(url).connect() as connection:
        await writer.append(entry(FEW))
        await publisher.step(connection)
        meter = Meter(url)
        before = meter.read()
        for _ in range(turns):
            await writer.append(entry(FEW))
            if publishing:
                await publisher.step(connection)
        spent = meter.since(before)
    await topic.close()
    return spent


def publishing_all(ledger: str, home: Path) -> Measured:
    """A whole ledger, in full records."""
    with broker(home) as settings:
        return uvloop.run(_publish_all(ledger, settings))


async def _publish_all(url: str, settings: Settings) -> Measured:
    topic = Topic(settings)
    publisher = Publisher(Postgres(url), topic)
    async with await Postgres(url).connect() as connection:
        await publisher.step(connection)  # connects, and makes the topic
        first = await confirmed(connection)
        meter = Meter(url)
        before = meter.read()
        while await publisher.step(connection):
            pass
        spent = meter.since(before)
        events = await confirmed(connection) - first
    await topic.close()
    return Measured(events / MOST_EVENTS, events, spent)


# --- records -----------------------------------------------------------------------------------


def repacked(ledger: str, records: Sequence[Record], many: int) -> list[Record]:
    """So many records of few events, from the beginning of the same ledger."""
    identity, secret = asyncio.run(whose(ledger))
    return packed_by(FEW, identity, secret, rows_of(records)[: many * FEW])


def rows_of(records: Sequence[Record]) -> list[bytes]:
    """Their events, as they are stored."""
    return [row for record in records for row in record.rows()]


def packed_by(size: int, ledger: str, secret: bytes, rows: Sequence[bytes]) -> list[Record]:
    """Records of so many events each, of whatever ledger."""
    found: list[Record] = []
    prev, before = 0, NOTHING
    for begin in range(0, len(rows), size):
        some = rows[begin : begin + size]
        found.append(Record.pack(ledger, secret, prev, before, some))
        prev, before = position_of(some[-1]), digest(some[-1])
    return found


def bytes_of(records: Sequence[Record]) -> float:
    """What an event takes in Kafka, with its part of the headers."""
    size = sum(
        len(r.body) + len(r.key) + sum(len(name) + len(value) for name, value in r.headers)
        for r in records
    )
    return size / records[-1].last


# --- a worker's side ---------------------------------------------------------------------------


def fetching(home: Path, records: Sequence[Record]) -> Measured:
    """Faust brings them, and nothing is done with them."""
    with broker(home) as settings:
        alone = settings.model_copy(update={"kafka_partitions": 1})
        uvloop.run(sent_one_by_one(records, alone))
        ours = in_process(partial(_fetch, len(records)), alone)
    return _measured(records, Spent(ours, 0))


async def sent_one_by_one(records: Sequence[Record], settings: Settings) -> None:
    """Each by itself, as publishers of many clubs send them."""
    topic = Topic(settings)
    await topic.make()
    for record in records:
        await sent(topic, [record])
    await topic.close()


async def _fetch(many: int, settings: Settings) -> float:
    """Microseconds of CPU time for all messages after the first, in those of all."""
    kafka = Kafka(Address.of(settings).brokers, TOPIC, "bench")
    worker = Worker(kafka, _from_the_beginning)
    running = asyncio.create_task(worker.run())
    await worker.messages.get()
    begun = time.process_time()
    for _ in range(many - 1):
        await worker.messages.get()
    spent = time.process_time() - begun
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    return spent * 1e6 * many / (many - 1)


async def _from_the_beginning() -> Mapping[str, datetime]:
    return {}


def unpacking(ledger: str, records: Sequence[Record]) -> Measured:
    """Whether its own publisher made it, and what is in it."""
    _, secret = asyncio.run(whose(ledger))
    begun = time.process_time()
    for record in records:
        record.verify(secret)
        Stretch.of(record)
    return _measured(records, Spent((time.process_time() - begun) * 1e6, 0))


def folding(url: str, ledger: str, group: Group, records: Sequence[Record]) -> Measured:
    """Events from their bytes, and what they mean for rows."""
    chain = made(url, f"scale_folding_{group.name}_{len(records)}", [ledger])
    return _measured(records, Spent(uvloop.run(_fold(chain, group, records)), 0))


async def _fold(chain: str, group: Group, records: Sequence[Record]) -> float:
    spent, warm = 0.0, len(records) // WARM_UP
    async with (
        taking_part(chain, group) as (store, intake),
        await store.connect(InChain.of(group), autocommit=True) as connection,
    ):
        for at, record in enumerate(records):
            if at == warm:
                spent = 0.0
            rows = [row for _, row in record.stored()]
            begun = time.process_time()
            batch = feed.read(rows, record.prev, group.kinds)
            spent += time.process_time() - begun
            known = await load_of_club(group, batch.events, connection, 1)
            begun = time.process_time()
            fold_batch(group, batch.events, known if group.folds else None)
            spent += time.process_time() - begun
            await intake.take([Arrived(record, 0, 0)])
    return spent * 1e6 * len(records) / (len(records) - warm)


def taking(url: str, chain: str, group: Group, records: Sequence[Record]) -> Measured:
    """All that is done with records that are there, each by itself."""
    checkpoint(url)
    return _measured(records, uvloop.run(_take(chain, group, records)))


async def _take(chain: str, group: Group, records: Sequence[Record]) -> Spent:
    async with taking_part(chain, group) as (_store, intake):
        warm = len(records) // WARM_UP
        for record in records[:warm]:
            await intake.take([Arrived(record, 0, 0)])
        meter = Meter(chain)
        before = meter.read()
        for record in records[warm:]:
            await intake.take([Arrived(record, 0, 0)])
        return meter.since(before).times(len(records) / (len(records) - warm))


# --- looking at clubs --------------------------------------------------------------------------


async def asking(ledger: str) -> Spent:
    """What it costs to ask a ledger how far it is."""
    identity, _ = await whose(ledger)
    meter = Meter(ledger)
    before = meter.read()
    for _ in range(LOOKS):
        async with reading(ledger) as club:
            await club.look(identity)
    return meter.since(before).times(1 / LOOKS)


def witnessing(home: Path, record: Record) -> Spent:
    """What it costs a publisher to look whether Kafka still has what it confirmed."""
    with broker(home) as settings:
        return uvloop.run(_look_for(record, settings))


async def _look_for(record: Record, settings: Settings) -> Spent:
    topic = Topic(settings)
    await topic.make()
    place = await sent(topic, [record])
    begun = time.process_time()
    for _ in range(LOOKS):
        if await topic.lost(place, record.key, record.last):
            raise Broken(["tansu"], "it lost what it had confirmed")
    spent = (time.process_time() - begun) * 1e6 / LOOKS
    await topic.close()
    return Spent(spent, 0)


async def looking_around(chain: str, looks: int) -> Spent:
    """What a worker's look at who is in the chain costs; it looks every second."""
    async with taking_part(chain) as (store, intake):
        keeping_up = KeepingUp(store, intake.directory)
        await keeping_up.look_around()
        meter = Meter(chain)
        before = meter.read()
        for _ in range(looks):
            await keeping_up.look_around()
        spent = meter.since(before)
        await keeping_up.close()
    return spent.times(1 / looks)


def _measured(records: Sequence[Record], spent: Spent) -> Measured:
    return Measured(len(records), records[-1].last, spent, bytes_of(records))
