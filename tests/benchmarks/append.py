"""Appending commands: our group commit beside the stock Postgres recorder, equally durable.

One command is one new aggregate with one 250-byte event, answered when its commit is on disk.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from statistics import median
from uuid import uuid4

import uvloop
from eventsourcing.persistence import ApplicationRecorder, StoredEvent
from eventsourcing.postgres import PostgresFactory
from eventsourcing.utils import Environment
from psycopg.conninfo import conninfo_to_dict

from infra.ledger.postgres import Postgres
from infra.ledger.schema import advance_ledger
from infra.ledger.writer import Entry, Writer
from tests.benchmarks.figures import Figure, number, table
from tests.benchmarks.postgres import create_database

EVENT = bytes(range(250))
IN_FLIGHT = 64
TARGET = 6.0
THREADS = (1, 4, 16, 64)
"""The recorder blocks, so its user chooses how many threads serve the 64; its best one counts."""
GROWTH = (1, 8, 32, 64, 128)
ROUNDS = 3
STOCK_COMMANDS = 3000
OUR_COMMANDS = 20000
WARM_UP = 200


async def run_ours(url: str, in_flight: int, commands: int) -> float:
    """Append so many one-event commands, `in_flight` at a time; the seconds it took.

    Each rests on its stream being new, as a command that registers somebody does.
    """
    async with writing(url) as writer:

        async def serve(many: int) -> None:
            for _ in range(many):
                await writer.append(entry())

        await serve(WARM_UP)
        started = time.perf_counter()
        await asyncio.gather(*(serve(commands // in_flight) for _ in range(in_flight)))
        return time.perf_counter() - started


@asynccontextmanager
async def writing(url: str) -> AsyncIterator[Writer]:
    """The club's writer on a ledger that is made if it is not there."""
    postgres = Postgres(url)
    connection = await postgres.connect(autocommit=True)
    async with connection:
        await advance_ledger(connection)
    writer = Writer(postgres.connect, on_batch=lambda _head, _commands: None)
    running = asyncio.create_task(writer.run())
    yield writer
    writer.close()
    await running


def entry(events: int = 1) -> Entry:
    """A command whose aggregate is new, with so many events."""
    stream = f"client-{uuid4().hex}"
    return Entry(
        command_id=uuid4().hex,
        actor="user-1",
        correlation_id=uuid4().hex,
        events=[StoredEvent(stream, n + 1, "client.registered", EVENT) for n in range(events)],
        commands=["register-client"] * events,
        causations=[stream] * events,
        expected={stream: 0},
    )


@dataclass(frozen=True)
class Appends:
    """Commands a second, ours by commands in flight and theirs by threads; ratio at IN_FLIGHT."""

    ours: dict[int, float]
    theirs: dict[int, float]
    ratio: float

    def figure(self) -> Figure:
        threads = max(self.theirs, key=self.theirs.__getitem__)
        return Figure(
            name=f"append, {IN_FLIGHT} commands in flight",
            ours=self.ours[IN_FLIGHT],
            theirs=self.theirs[threads],
            ratio=self.ratio,
            target=TARGET,
            unit="commands/s",
            note=f"the stock recorder's best, with {threads} threads",
        )

    def growth_table(self) -> str:
        """How each side grows: ours with commands in flight, theirs with threads to serve them."""
        heads = ["append", "in flight or threads", "commands/s"]
        rows = [
            *(["ours, by commands in flight", str(n), number(r)] for n, r in self.ours.items()),
            *(["stock, by threads", str(n), number(r)] for n, r in self.theirs.items()),
        ]
        return table(heads, rows, left={0})


def measure(url: str, quick: bool) -> Appends:
    """Stock and ours in turn, on fresh databases of one server."""
    rounds, share = (1, 0.3) if quick else (ROUNDS, 1.0)
    commands = int(STOCK_COMMANDS * share)
    with stock_recorder(create_database(url, "append_stock")) as recorder:
        run_stock(recorder, 1, commands // 10)  # connections opened, statements prepared
        theirs = {threads: run_stock(recorder, threads, commands) for threads in THREADS}
        best = max(theirs, key=theirs.__getitem__)
        pairs: list[tuple[float, float]] = []
        ours: dict[int, float] = {}
        for turn in range(rounds):
            rate = _ours(url, f"append_ours_{turn}", IN_FLIGHT, share)
            pairs.append((rate, run_stock(recorder, best, commands)))
        for in_flight in GROWTH:
            ours[in_flight] = _ours(url, f"append_ours_at_{in_flight}", in_flight, share)
    ours[IN_FLIGHT] = median(mine for mine, _ in pairs)
    theirs[best] = median(other for _, other in pairs)
    return Appends(ours, theirs, median(mine / other for mine, other in pairs))


def _ours(url: str, database: str, in_flight: int, share: float) -> float:
    commands = int(OUR_COMMANDS * share * min(1.0, in_flight / 32 + 0.1)) // in_flight * in_flight
    return commands / uvloop.run(run_ours(create_database(url, database), in_flight, commands))


@contextmanager
def stock_recorder(url: str) -> Iterator[ApplicationRecorder]:
    """The library's own recorder with its stock settings: pool of 5 and 10 more, table lock."""
    parts = {key: str(value) for key, value in conninfo_to_dict(url).items()}
    environment = Environment(
        env={
            "POSTGRES_DBNAME": parts["dbname"],
            "POSTGRES_HOST": parts["host"],
            "POSTGRES_PORT": parts.get("port", "5432"),
            "POSTGRES_USER": parts.get("user", ""),
            "POSTGRES_PASSWORD": parts.get("password", ""),
        }
    )
    with PostgresFactory(environment) as factory:
        yield factory.application_recorder()


def run_stock(recorder: ApplicationRecorder, threads: int, commands: int) -> float:
    """Commands a second that so many threads get through the recorder."""

    def serve(many: int) -> None:
        for _ in range(many):
            event = StoredEvent(uuid4(), 1, "client.registered", EVENT)
            recorder.insert_events([event])

    with ThreadPoolExecutor(threads) as pool:
        started = time.perf_counter()
        for served in [pool.submit(serve, commands // threads) for _ in range(threads)]:
            served.result()
        return commands // threads * threads / (time.perf_counter() - started)
