"""Reports: what it costs to keep them fresh, to build them anew, to read them, and to have them."""

import asyncio
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from infra.following.rebuilding import make_missing
from infra.ledger.postgres import Postgres
from projections.catalogue import FIGURES
from tests.benchmarks.figures import Figure
from tests.benchmarks.load import Loader
from tests.benchmarks.postgres import checkpoint, create_database
from tests.benchmarks.projections import Log, Raced, alone, run_tail
from tests.benchmarks.seeding import EVENTS_A_MEMBER, fill

CLIENTS, QUICK_CLIENTS = 100_000, 5_000
"""Of a club of ten years."""
YEARS = 10
HUNDREDTH = 100
DAY = 2_000
"""Events of one day."""
ROUNDS, QUICK_ROUNDS = 5, 2

FAR = 10_000_000
"""A number beyond those of all members that a club has from the start."""

DAY_TARGET = 1.2
READING_TARGET = 2.0
REBUILD_TARGET = 0.25
"""Of the rate of COPY: four times as long."""


def measure(url: str, home: Path, quick: bool, loader: Loader) -> Iterator[Figure]:
    """A day's refresh, and a rebuild beside COPY."""
    many, rounds = (QUICK_CLIENTS, QUICK_ROUNDS) if quick else (CLIENTS, ROUNDS)
    log = Log(url, "reports_long", many * EVENTS_A_MEMBER, group=FIGURES, years=YEARS)
    empty = create_database(url, "reports_empty")
    asyncio.run(fill(empty, 0))
    asyncio.run(make_missing(Postgres(empty), [FIGURES]))
    yield _a_day(url, log.url, empty, rounds)
    yield _rebuild(log, home, 1 if quick else 3)


def _a_day(url: str, long: str, empty: str, rounds: int) -> Figure:
    ours: list[float] = []
    theirs: list[float] = []
    for turn in range(rounds):
        for database, seconds in ((long, ours), (empty, theirs))[:: 1 if turn % 2 else -1]:
            asyncio.run(fill(database, DAY, first=FAR + turn * DAY))
            checkpoint(url)
            seconds.append(alone(partial(run_tail, group=FIGURES), database).seconds)
    name = f"a day of {DAY:,} events into figures of {YEARS} years, beside into none"
    return Figure.of_rounds(name, ours, theirs, DAY_TARGET, "s", at_most=True)


def _rebuild(log: Log, home: Path, rounds: int) -> Figure:
    rows = log.save_rows(home / "rows-of-figures")
    raced = Raced()
    for _ in range(rounds):
        with raced.between(partial(log.copy, rows, indexed=False)):
            raced.ours.append(log.rebuild().seconds)
    name = f"rebuild of the figures, beside COPY of the {log.rows():,} rows"
    ours, theirs = ([log.events / one for one in side] for side in (raced.ours, raced.theirs))
    return Figure.of_rounds(name, ours, theirs, REBUILD_TARGET, "events/s")
