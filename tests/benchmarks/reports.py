"""Reports: what it costs to keep them fresh, to build them anew, to read them, and to have them."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from infra.following.rebuilding import make_missing
from infra.ledger.postgres import Postgres
from projections.catalogue import FIGURES
from tests.benchmarks.figures import Figure
from tests.benchmarks.http import Side
from tests.benchmarks.load import Job, Loader, get
from tests.benchmarks.postgres import checkpoint, create_database
from tests.benchmarks.projections import Log, Raced, alone, run_tail
from tests.benchmarks.seeding import EVENTS_A_MEMBER, fill
from tests.benchmarks.servers import Service, club_service, filled_club

CLIENTS, QUICK_CLIENTS = 100_000, 5_000
"""Of a club of ten years."""
YEARS = 10
HUNDREDTH = 100
DAY = 2_000
"""Events of one day."""
ROUNDS, QUICK_ROUNDS = 5, 2

FIRST = 2
"""Who looks after the club is its first user."""

FAR = 10_000_000
"""A number beyond those of all members that a club has from the start."""

DAY_TARGET = 1.2
READING_TARGET = 2.0
REBUILD_TARGET = 0.25
"""Of the rate of COPY: four times as long."""


SECONDS = 3.0
CONNECTIONS = 4
POSTS, QUICK_POSTS = 4_000, 800
POSTING = 64
"""Connections over which clients are POSTed."""

POST_TARGET = 0.95
FORMS = {"page": b"Accept: text/html\r\n", "JSON": b"Accept: application/json\r\n"}


def measure(url: str, home: Path, quick: bool, loader: Loader) -> Iterator[Figure]:
    """Refreshing, rebuilding, reading, and commands beside all that."""
    many, rounds = (QUICK_CLIENTS, QUICK_ROUNDS) if quick else (CLIENTS, ROUNDS)
    log = Log(url, "reports_long", many * EVENTS_A_MEMBER, group=FIGURES, years=YEARS)
    empty = create_database(url, "reports_empty")
    asyncio.run(fill(empty, 0))
    asyncio.run(make_missing(Postgres(empty), [FIGURES]))
    yield _a_day(url, log.url, empty, rounds)
    yield _rebuild(log, home, 1 if quick else 3)
    yield from _overview(url, home, many, rounds, loader)
    yield _posts(url, home, QUICK_POSTS if quick else POSTS, rounds, loader)


def _a_day(url: str, long: str, empty: str, rounds: int) -> Figure:
    ours: list[float] = []
    theirs: list[float] = []
    for turn in range(rounds):
        for database, seconds in ((long, ours), (empty, theirs))[:: 1 - turn % 2 * 2]:
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


def _overview(url: str, home: Path, many: int, rounds: int, loader: Loader) -> Iterator[Figure]:
    """The overview of many clients, and that of a hundredth of them, in turn."""

    def filled(clients: int) -> Service:
        async def lived(database: str) -> tuple[range, range]:
            await fill(database, clients * EVENTS_A_MEMBER, YEARS, first=FIRST)
            return range(FIRST, FIRST + clients - 10), range(FIRST, FIRST + clients - 10)

        return opened.enter_context(filled_club(url, home, lived))

    with ExitStack() as opened:
        large, small = filled(many), filled(many // HUNDREDTH)
        for form, accept in FORMS.items():
            ours: list[float] = []
            theirs: list[float] = []
            for turn in range(rounds):
                for service, collected in ((large, ours), (small, theirs))[:: 1 - turn % 2 * 2]:
                    request = get("/reports/overview/", service.headers + accept)
                    job = Job(service.port, [request], CONNECTIONS, seconds=SECONDS, warm_up=1)
                    collected.append(loader.run(job).p50)
            name = f"overview of {many:,} clients, {form}, beside a hundredth of them, median"
            yield Figure.of_rounds(name, ours, theirs, READING_TARGET, "ms", at_most=True)


def _posts(url: str, home: Path, many: int, rounds: int, loader: Loader) -> Figure:
    """POSTs of clients, with figures that are refreshed meanwhile, and without."""
    needed = rounds * (many + 200) + 1
    with ExitStack() as opened:
        refreshed, not_refreshed = (
            Side(opened.enter_context(club_service(url, home, needed, needed, **settings)))
            for settings in ({"CLUB_REPORTS_SECONDS": "2"}, {"CLUB_REPORTS_SECONDS": "300"})
        )
        ours: list[float] = []
        theirs: list[float] = []
        for turn in range(rounds):
            for side, rates in ((refreshed, ours), (not_refreshed, theirs))[:: 1 - turn % 2 * 2]:
                rates.append(loader.run(side.create(many, POSTING, 0)).rate)
    name = "POST a client, figures refreshed every 2 s, beside never"
    return Figure.of_rounds(name, ours, theirs, POST_TARGET, "requests/s")
