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

from tests.benchmarks.figures import Figure
from tests.benchmarks.postgres import checkpoint, create_database

EVENTS = 200_000
SMALL_LOG = 50_000
TAIL_TARGET = 20_000
REBUILD_TARGET = 50_000
REBUILD_GROWTH = 1.25
"""Peak memory on a log four times as long, beside the short one's: bounded means about 1."""


async def fill_ledger(url: str, events: int) -> int:
    """TO FILL IN: make the ledger in the empty database at `url` and append about so many events.

    A mixture as a club would have it (users, memberships, clients, trainings, payments and their
    changes), in the stored form the live service writes. Returns how many there are.
    """
    raise NotImplementedError("fill_ledger")


async def run_tail(url: str) -> None:
    """TO FILL IN: the live projectors, from position 0 until every table is at the ledger's end."""
    raise NotImplementedError("run_tail")


async def run_rebuild(url: str) -> None:
    """TO FILL IN: rebuild all tables beside the live ones, then compare and swap."""
    raise NotImplementedError("run_rebuild")


@dataclass(frozen=True)
class Run:
    """What one run took, and the most memory its process held (in MiB)."""

    seconds: float
    peak: float


@dataclass(frozen=True)
class Projected:
    """Rates in events a second and peak memory in MiB; None where our side is not written."""

    tail: float | None = None
    rebuild: float | None = None
    small_peak: float | None = None
    large_peak: float | None = None

    def figures(self) -> Iterator[Figure]:
        yield Figure("tail into the documented tables", self.tail, TAIL_TARGET, "events/s")
        yield Figure("rebuild", self.rebuild, REBUILD_TARGET, "events/s")

    def memory_figure(self) -> Figure:
        known = self.small_peak and self.large_peak
        return Figure(
            name=f"rebuild's peak memory, log {EVENTS // SMALL_LOG} times as long",
            ours=self.large_peak / self.small_peak if self.large_peak and self.small_peak else None,
            target=REBUILD_GROWTH,
            unit="times",
            at_most=True,
            note=f"{self.small_peak:.0f} and {self.large_peak:.0f} MiB" if known else "",
        )


def measure(url: str, quick: bool) -> Projected:
    """Fill two ledgers, a long and a short one; tail and rebuild them."""
    long, short = (EVENTS // 5, SMALL_LOG // 5) if quick else (EVENTS, SMALL_LOG)
    try:
        large = create_database(url, "projections_long")
        small = create_database(url, "projections_short")
        events = asyncio.run(fill_ledger(large, long))
        asyncio.run(fill_ledger(small, short))
        checkpoint(url)
        tail, _ = alone(run_tail, large), alone(run_tail, small)
        checkpoint(url)
        rebuild, rebuild_small = alone(run_rebuild, large), alone(run_rebuild, small)
    except NotImplementedError:
        return Projected()
    return Projected(
        tail=events / tail.seconds,
        rebuild=events / rebuild.seconds,
        small_peak=rebuild_small.peak,
        large_peak=rebuild.peak,
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

    seconds = asyncio.run(timed())
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return Run(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit)
