"""How fast the documented tables follow the ledger: the live tail, and a rebuild from the start.

The other side has the rows already, as text, and puts them into tables of equal definition with one
COPY a table, in one transaction: nothing that ends with these rows can be faster. For the tail
constraints and indexes are there before, as they are for us; for a rebuild they come after the
rows, as ours do. Each run has a process of its own, so that its peak memory can be told.
"""

import asyncio
import resource
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import psycopg
import uvloop

from infra.following.projecting import Projector
from infra.following.rebuilding import make_missing, rebuild
from infra.following.watch import Watch
from infra.ledger.postgres import Postgres
from projections.catalogue import DOCUMENTED
from projections.engine.schema import add_constraints, create_tables
from tests.benchmarks.figures import Figure
from tests.benchmarks.postgres import analyze, checkpoint, create_database
from tests.benchmarks.seeding import fill, report_on

EVENTS = 160_000
SMALL_LOG = 40_000
ROUNDS = 3
TAIL_WAS, REBUILD_WAS = 20_000, 50_000
"""Events a second, the targets before there were ratios."""

TAIL_TARGET = 0.1
REBUILD_TARGET = 0.1
REBUILD_GROWTH = 1.25
"""Peak memory on a log four times as long, beside the short one's: bounded means about 1."""

REPORTS = 200
REPORTED_EVENTS = 36_000
"""Of 2,000 members."""

REPORTS_TARGET = 1.25
"""The time of a rebuild with reports, in that of one without."""

BESIDE = "copied"
_TABLES = ", ".join(table.name for table in DOCUMENTED.tables)


async def run_tail(url: str) -> None:
    """The live projector, from position 0 until the tables are at the ledger's end."""
    postgres, watch = Postgres(url), Watch()
    async with await postgres.connect() as connection:
        head = await _head(connection)
        await connection.execute("SET synchronous_commit = off")
        tail = Projector(postgres, DOCUMENTED, watch)
        while watch.position < head:
            await tail.step(connection)


async def run_rebuild(url: str) -> None:
    """Rebuild all tables beside the live ones, compare and swap."""
    await rebuild(Postgres(url), DOCUMENTED)


async def run_copy(url: str, rows: Path, *, indexed: bool) -> None:
    """The same rows into the same tables; `indexed` before they come, or after."""
    async with await Postgres(url).connect() as connection:
        await connection.execute(f"SET search_path = {BESIDE}, public".encode())
        if not indexed:
            await create_tables(connection, DOCUMENTED.tables)
        for table in DOCUMENTED.tables:
            cursor = connection.cursor()
            async with cursor.copy(f"COPY {table.name} FROM STDIN".encode()) as copy:
                await copy.write((rows / table.name).read_bytes())
        if not indexed:
            await add_constraints(connection, DOCUMENTED)
            await connection.execute(f"ANALYZE {_TABLES}".encode())


async def _head(connection: psycopg.AsyncConnection[Any]) -> int:
    cursor = await connection.execute("SELECT max(notification_id) FROM ledger_events")
    row = await cursor.fetchone()
    await connection.commit()
    assert row is not None
    return int(row[0])


@dataclass(frozen=True)
class Run:
    """What one run took, and the most memory its process held (in MiB)."""

    seconds: float
    peak: float


@dataclass
class Raced:
    """The seconds of both sides, round by round."""

    ours: list[float] = field(default_factory=list)
    theirs: list[float] = field(default_factory=list)

    @contextmanager
    def between(self, theirs: Callable[[], float]) -> Iterator[None]:
        """Ours, with theirs before and after: they are short, and the machine's speed drifts."""
        before = theirs()
        yield
        self.theirs.append((before + theirs()) / 2)

    def rates(self, name: str, events: int, target: float, was: int) -> Figure:
        """Events a second, where theirs are the rows that so many events leave."""
        ours, theirs = ([events / one for one in side] for side in (self.ours, self.theirs))
        was_said = f"the target was {was:,} events/s"
        return Figure.of_rounds(name, ours, theirs, target, "events/s", was_said)


def measure(url: str, home: Path, quick: bool) -> Iterator[Figure]:
    """Tail and rebuild of a long ledger; memory, beside a short one; a ledger with reports."""
    rounds, share = (1, 5) if quick else (ROUNDS, 1)
    log = Log(url, "projections_long", EVENTS // share)
    rows = log.save_rows(home / "rows")
    tails, rebuilds = Raced(), Raced()
    peaks: list[float] = []
    for _ in range(rounds):
        with tails.between(partial(log.copy, rows, indexed=True)):
            tails.ours.append(log.tail().seconds)
        with rebuilds.between(partial(log.copy, rows, indexed=False)):
            built = log.rebuild()
            rebuilds.ours.append(built.seconds)
        peaks.append(built.peak)
    name, theirs = "tail into the documented tables", f"COPY of the {log.rows():,} rows it leaves"
    yield tails.rates(f"{name}, beside {theirs}", log.events, TAIL_TARGET, TAIL_WAS)
    yield rebuilds.rates(f"rebuild, beside {theirs}", log.events, REBUILD_TARGET, REBUILD_WAS)
    yield _memory(url, SMALL_LOG // share, max(peaks))
    yield _with_reports(url, REPORTED_EVENTS // share, rounds)


def _memory(url: str, short: int, large: float) -> Figure:
    small = Log(url, "projections_short", short).rebuild().peak
    return Figure(
        name=f"rebuild's peak memory, log {EVENTS // SMALL_LOG} times as long",
        ours=large,
        theirs=small,
        ratio=large / small,
        target=REBUILD_GROWTH,
        unit="MiB",
        at_most=True,
    )


def _with_reports(url: str, events: int, rounds: int) -> Figure:
    """Ledgers that are alike but for reports, each of which shows every user."""
    reported = Log(url, "projections_reports", events, REPORTS)
    plain = Log(url, "projections_plain", events)
    ours: list[float] = []
    theirs: list[float] = []
    for turn in range(rounds):
        for is_plain in (turn % 2 == 0, turn % 2 == 1):
            log, seconds = (plain, theirs) if is_plain else (reported, ours)
            seconds.append(log.rebuild().seconds)
    return Figure.of_rounds(
        f"time of a rebuild with {REPORTS} reports, in that of one without",
        ours,
        theirs,
        REPORTS_TARGET,
        "s",
        f"{reported.users():,} users in each report",
        at_most=True,
    )


class Log:
    """A ledger of a club's life, and tables that have followed it once."""

    def __init__(self, url: str, name: str, events: int, reports: int = 0) -> None:
        self.url = create_database(url, name)
        self.events = asyncio.run(fill(self.url, events))
        if reports:
            self.events += asyncio.run(report_on(self.url, reports))
        asyncio.run(make_missing(Postgres(self.url), [DOCUMENTED]))
        alone(run_tail, self.url)
        analyze(self.url)

    def tail(self) -> Run:
        """The tables are empty, and follow from the start."""
        self._do(f"TRUNCATE {_TABLES}", "UPDATE read_groups SET position = 0")
        return alone(run_tail, self.url)

    def rebuild(self) -> Run:
        checkpoint(self.url)
        return alone(run_rebuild, self.url)

    def copy(self, rows: Path, *, indexed: bool) -> float:
        """Seconds of a COPY into new tables beside."""
        self._do(f"DROP SCHEMA IF EXISTS {BESIDE} CASCADE", f"CREATE SCHEMA {BESIDE}")
        if indexed:
            asyncio.run(_make_beside(self.url))
        return alone(partial(run_copy, rows=rows, indexed=indexed), self.url).seconds

    def save_rows(self, folder: Path) -> Path:
        """What is in the tables, as text, a file a table."""
        folder.mkdir()
        with psycopg.connect(self.url) as connection:
            for table in DOCUMENTED.tables:
                with (folder / table.name).open("wb") as file:
                    cursor = connection.cursor()
                    with cursor.copy(f"COPY {table.name} TO STDOUT".encode()) as copy:
                        file.writelines(copy)
        return folder

    def rows(self) -> int:
        """How many rows are in all tables together."""
        return sum(self._count(table.name) for table in DOCUMENTED.tables)

    def users(self) -> int:
        return self._count("users")

    def _count(self, table: str) -> int:
        with psycopg.connect(self.url) as connection:
            row = connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchone()
        assert row is not None
        return int(row[0])

    def _do(self, *statements: str) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("SET client_min_messages = warning")
            for statement in statements:
                connection.execute(statement.encode())
        checkpoint(self.url)


async def _make_beside(url: str) -> None:
    async with await Postgres(url).connect() as connection:
        await connection.execute(f"SET search_path = {BESIDE}, public".encode())
        await create_tables(connection, DOCUMENTED.tables)
        await add_constraints(connection, DOCUMENTED)


def alone(work: Callable[[str], Awaitable[None]], url: str) -> Run:
    """Carry it out in a fresh process."""
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as process:
        return process.submit(_timed, work, url).result()


def _timed(work: Callable[[str], Awaitable[None]], url: str) -> Run:
    async def timed() -> float:
        started = time.perf_counter()
        await work(url)
        return time.perf_counter() - started

    seconds = uvloop.run(timed())
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return Run(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit)
