"""How fast the documented tables follow the ledger: the live tail, and a rebuild from the start.

Each run has a process of its own, so that its peak memory can be told.
"""

import asyncio
import resource
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

import psycopg
import uvloop

from infra.following.projecting import Projector
from infra.following.rebuilding import make_missing, rebuild
from infra.following.watch import Watch
from infra.ledger.postgres import Postgres
from projections.catalogue import DOCUMENTED
from tests.benchmarks.figures import Figure
from tests.benchmarks.postgres import checkpoint, create_database
from tests.benchmarks.seeding import fill

EVENTS = 200_000
SMALL_LOG = 50_000
TAIL_TARGET = 20_000
REBUILD_TARGET = 50_000
REBUILD_GROWTH = 1.25
"""Peak memory on a log four times as long, beside the short one's: bounded means about 1."""


async def run_tail(url: str) -> None:
    """The live projector, from position 0 until the tables are at the ledger's end."""
    postgres, watch = Postgres(url), Watch()
    await make_missing(postgres, [DOCUMENTED])
    async with await postgres.connect() as connection:
        head = await _head(connection)
        await connection.execute("SET synchronous_commit = off")
        tail = Projector(postgres, DOCUMENTED, watch)
        while watch.position < head:
            await tail.step(connection)


async def run_rebuild(url: str) -> None:
    """Rebuild all tables beside the live ones, compare and swap."""
    await rebuild(Postgres(url), DOCUMENTED)


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


@dataclass(frozen=True)
class Projected:
    """Rates in events a second and peak memory in MiB."""

    tail: float
    rebuild: float
    small_peak: float
    large_peak: float

    def figures(self) -> Iterator[Figure]:
        yield Figure("tail into the documented tables", self.tail, TAIL_TARGET, "events/s")
        yield Figure("rebuild", self.rebuild, REBUILD_TARGET, "events/s")

    def memory_figure(self) -> Figure:
        return Figure(
            name=f"rebuild's peak memory, log {EVENTS // SMALL_LOG} times as long",
            ours=self.large_peak / self.small_peak,
            target=REBUILD_GROWTH,
            unit="times",
            at_most=True,
            note=f"{self.small_peak:.0f} and {self.large_peak:.0f} MiB",
        )


def measure(url: str, quick: bool) -> Projected:
    """Fill two ledgers, a long and a short one; tail and rebuild them."""
    long, short = (EVENTS // 5, SMALL_LOG // 5) if quick else (EVENTS, SMALL_LOG)
    large = create_database(url, "projections_long")
    small = create_database(url, "projections_short")
    events = asyncio.run(fill(large, long))
    asyncio.run(fill(small, short))
    checkpoint(url)
    tail, _ = alone(run_tail, large), alone(run_tail, small)
    checkpoint(url)
    whole, short_one = alone(run_rebuild, large), alone(run_rebuild, small)
    return Projected(
        tail=events / tail.seconds,
        rebuild=events / whole.seconds,
        small_peak=short_one.peak,
        large_peak=whole.peak,
    )


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
