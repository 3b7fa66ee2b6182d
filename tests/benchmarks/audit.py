"""What the audit costs: a replay, the exchange at its end, and a thing as it was.

A replay is beside COPY of the rows that it leaves, as a rebuild is in `projections`. While the
tables are exchanged, somebody reads rows all the time, and somebody else takes a second for each
look. A thing of 100
events as it was is beside the same thing as it is, over HTTP and in turn; that an ADMIN asked for
it is recorded each time.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from threading import Event

import psycopg

from domain.memberships import Membership
from domain.users import User
from tests.benchmarks.figures import Figure
from tests.benchmarks.finding import beside
from tests.benchmarks.load import Job, Loader, get
from tests.benchmarks.projections import Log, Raced, run_rebuild
from tests.benchmarks.seeding import append, membership, numbers, open_ledger, seed, user
from tests.benchmarks.servers import filled_club

EVENTS = 160_000
ROUNDS = 3

REPLAY_TARGET = 4.0
"""The time of a replay, in that of the COPY."""

LONGEST_WAIT = 50.0
"""Milliseconds for which a reader may have to wait where the tables are exchanged."""

USERS = 100_000
SECONDS = 5.0

MEANWHILE_TARGET = 2.0
"""The p99 of a GET by id during a replay, in that of one without."""

CHANGES = 99
"""Events of the thing after the first."""

AS_OF_TARGET = 5.0
"""The time of a GET as it was, in that of one as it is."""


def measure(url: str, home: Path, quick: bool, loader: Loader) -> Iterator[Figure]:
    """A replay and its exchange, and a thing as it was."""
    yield from _replay(url, home, quick)
    yield _meanwhile(url, home, quick, loader)
    yield _as_of(url, home, loader)


def _replay(url: str, home: Path, quick: bool) -> Iterator[Figure]:
    rounds, share = (1, 5) if quick else (ROUNDS, 1)
    log = Log(url, "audit_replay", EVENTS // share)
    rows = log.save_rows(home / "audit rows")
    replays, waits = Raced(), []
    for _ in range(rounds):
        with replays.between(partial(log.copy, rows, indexed=False)):
            replays.ours.append(log.rebuild().seconds)
        with _reader(log.url, _read_slowly), _reader(log.url, _read_until) as longest:
            log.rebuild()
        waits.append(longest[0])
    yield Figure.of_rounds(
        f"time of a replay, in that of COPY of the {log.rows():,} rows it leaves",
        replays.ours,
        replays.theirs,
        REPLAY_TARGET,
        "s",
        at_most=True,
    )
    yield Figure(
        "longest wait of a quick reader, beside a slow one, while tables are exchanged",
        ours=max(waits),
        target=LONGEST_WAIT,
        unit="ms",
        at_most=True,
    )


@contextmanager
def _reader(url: str, read: Callable[[str, Event, Event], float]) -> Iterator[list[float]]:
    """Somebody who reads all the time; afterwards, the milliseconds of the longest wait."""
    context = get_context("spawn")
    longest: list[float] = []
    with (
        context.Manager() as manager,
        ProcessPoolExecutor(max_workers=1, mp_context=context) as process,
    ):
        reads, over = manager.Event(), manager.Event()
        reading = process.submit(read, url, reads, over)
        reads.wait()
        try:
            yield longest
        finally:
            over.set()
            longest.append(reading.result())


def _read_until(url: str, reads: Event, over: Event) -> float:
    longest = 0.0
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SELECT FROM users")
        reads.set()
        while not over.is_set():
            began = time.perf_counter()
            connection.execute("SELECT id, username FROM users WHERE id = 1").fetchone()
            longest = max(longest, time.perf_counter() - began)
    return longest * 1000


def _meanwhile(url: str, home: Path, quick: bool, loader: Loader) -> Figure:
    """A GET by id while the read tables are replayed again and again, beside one without that."""
    users = USERS // 5 if quick else USERS
    during: list[float] = []
    without: list[float] = []
    with filled_club(url, home, partial(seed, users=users, memberships=1)) as service:
        requests = [get(f"/users/{number}/", service.headers) for number in service.users[:1000]]
        job = Job(
            service.port,
            requests,
            connections=1,
            seconds=SECONDS,
            warm_up=50,
            headers=service.headers,
        )
        for _ in range(ROUNDS):
            without.append(loader.run(job).p99)
            with _reader(service.database, _replay_until):
                during.append(loader.run(job).p99)
    return Figure.of_rounds(
        "GET by id while all is replayed, p99",
        during,
        without,
        MEANWHILE_TARGET,
        "ms",
        note=f"{users:,} users, beside one without that",
        at_most=True,
    )


def _replay_until(url: str, begins: Event, over: Event) -> float:
    began = time.perf_counter()
    begins.set()
    while not over.is_set():
        asyncio.run(run_rebuild(url))
    return time.perf_counter() - began


def _read_slowly(url: str, reads: Event, over: Event) -> float:
    """A second for each look, and one without it."""
    longest = 0.0
    with psycopg.connect(url, autocommit=True) as connection:
        while not over.is_set():
            began = time.perf_counter()
            connection.execute("SELECT pg_sleep(1) FROM (SELECT FROM users LIMIT 1) AS one")
            longest = max(longest, time.perf_counter() - began)
            reads.set()
            over.wait(1)
    return longest * 1000


def _as_of(url: str, home: Path, loader: Loader) -> Figure:
    with filled_club(url, home, _populate) as service:
        then = [f"/memberships/1/?as_of={CHANGES}"]
        name = f"a thing of {CHANGES + 1} events as it was"
        now = ["/memberships/1/"]
        return beside(service, loader, name, then, now, AS_OF_TARGET, "beside a GET by id")


async def _populate(database: str) -> tuple[range, range]:
    """A membership that was repriced again and again, and somebody to ask for it."""
    at = datetime.now(UTC)
    async with open_ledger(database) as ledger:
        (user_id,) = await numbers(ledger, User, 1)
        (number,) = await numbers(ledger, Membership, 1)
        repriced = membership(number, at)
        for price in range(CHANGES):
            repriced.change({"price": f"{price}.00"}, at)
        await append(ledger, iter([user(user_id, at), repriced]))
    return range(user_id, user_id + 1), range(number, number + 1)
