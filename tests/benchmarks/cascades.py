"""Cascades: an exercise that many trainings hold goes out of all of them, as one command.

Beside it another process asks for something small, over and over: how long it has to wait says
how long the cascade keeps the ledger to itself, and the loop's own longest pause says the same of
the process that has the cascade to do.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing import get_context
from multiprocessing.managers import SyncManager
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from threading import Event
from uuid import uuid4

import psycopg
import uvloop

from application.access import THE_CLUB
from application.bus import Bus
from application.command import Context
from application.exercises import AddExercise, DeleteExercise, ExerciseBody
from domain.clients import Client
from domain.exercises import Exercise
from domain.trainings import Training
from infra.bootstrap import open_club
from infra.settings import Settings
from tests.benchmarks.figures import Figure
from tests.benchmarks.postgres import analyze, checkpoint, create_database
from tests.benchmarks.seeding import (
    CLIENT,
    DOING,
    append,
    membership,
    numbers,
    open_ledger,
    training_of,
    user,
)

SIZES = (1000, 5000, 20_000)
QUICK = (500, 2000)
SHARE_OF_COPY = 0.02
"""Events a second of the largest cascade, beside raw COPY of the same rows."""
GROWTH = 1.5
"""Time an event in the largest, beside that in the smallest: in proportion means about 1."""
LONGEST_STOP = 0.75
"""Seconds that the largest may keep a small command of another process waiting."""
LONGEST_PAUSE = 0.25
"""Seconds for which it may keep its own process from everything else."""


@dataclass(frozen=True)
class Cascade:
    """What one took: seconds in all, the longest waits of others, MiB at the most."""

    events: int
    seconds: float
    paused: float
    waited: float
    usual: float
    peak: float


@dataclass(frozen=True)
class Cascades:
    """From the smallest to the largest, and seconds for raw COPY of the largest one's events."""

    ran: Sequence[Cascade]
    copied: float

    def figures(self) -> Iterator[Figure]:
        first, last = self.ran[0], self.ran[-1]
        ours, theirs = last.events / last.seconds, last.events / self.copied
        yield Figure(
            name=f"cascade of {last.events:,} events, beside COPY of them",
            ours=ours,
            theirs=theirs,
            ratio=ours / theirs,
            target=SHARE_OF_COPY,
            unit="events/s",
            note=f"{last.seconds:.2f} s, {last.peak:.0f} MiB",
        )
        yield Figure(
            name=f"its time an event, beside one of {first.events:,}",
            ours=(last.seconds / last.events) / (first.seconds / first.events),
            target=GROWTH,
            unit="times",
            at_most=True,
        )
        yield Figure(
            name="longest wait of another process's command meanwhile",
            ours=last.waited,
            target=LONGEST_STOP,
            unit="s",
            at_most=True,
            note=f"usually {last.usual * 1000:.0f} ms",
        )
        yield Figure(
            name="longest pause of its own process's loop",
            ours=last.paused,
            target=LONGEST_PAUSE,
            unit="s",
            at_most=True,
        )


def measure(url: str, quick: bool) -> Cascades:
    """Run one of each size, each in a database and in processes of its own."""
    ran = [_run(url, size) for size in (QUICK if quick else SIZES)]
    return Cascades([cascade for cascade, _ in ran], ran[-1][1])


def _run(url: str, size: int) -> tuple[Cascade, float]:
    database = create_database(url, f"cascade_{size}_{uuid4().hex[:8]}")
    with (
        tempfile.TemporaryDirectory() as home,
        get_context("spawn").Manager() as manager,
        ProcessPoolExecutor(2, mp_context=get_context("spawn")) as processes,
    ):
        settings = {"home": Path(home), "database_url": database}
        exercise_id = processes.submit(_seed, settings, size).result()
        analyze(database)
        checkpoint(url)
        cascade = _beside(manager, processes, settings, exercise_id, size)
    return cascade, _copied(database, size)


def _beside(
    manager: SyncManager,
    processes: ProcessPoolExecutor,
    settings: dict[str, object],
    exercise_id: int,
    size: int,
) -> Cascade:
    ready, over = manager.Event(), manager.Event()
    probing = processes.submit(_probe, settings, ready, over)
    ready.wait()
    try:
        seconds, paused, peak = processes.submit(_delete, settings, exercise_id).result()
    finally:
        over.set()
    waits = sorted(probing.result())
    return Cascade(size, seconds, paused, waits[-1], waits[len(waits) // 2], peak)


def _seed(settings: dict[str, object], size: int) -> int:
    """A club in which so many trainings hold one exercise; returns its number."""

    async def seed() -> int:
        at = datetime.now(UTC)
        async with open_club(Settings(**settings), building=True) as club:  # type: ignore[arg-type]
            async with open_ledger(club.postgres.url) as ledger:
                (exercise_id,) = await numbers(ledger, Exercise, 1)
                exercise = Exercise.add(exercise_id, _facts("Squat"), at)
                await append(ledger, iter([exercise, user(1, at), membership(1, at), _client(at)]))
                trainings = await numbers(ledger, Training, size)
                await append(ledger, (_training(n, exercise_id, at) for n in trainings))
                head = await ledger.head()
            while not await club.read_side.reached(head):
                pass
        return exercise_id

    return uvloop.run(seed())


def _delete(settings: dict[str, object], exercise_id: int) -> tuple[float, float, float]:
    """The cascade: its seconds, the loop's longest pause and the process's peak (MiB)."""

    async def delete() -> tuple[float, float]:
        async with open_club(Settings(**settings)) as club:  # type: ignore[arg-type]
            pauses = asyncio.create_task(_longest_pause())
            started = time.perf_counter()
            await _do(club.bus, DeleteExercise(exercise_id))
            seconds = time.perf_counter() - started
            pauses.cancel()
            return seconds, await pauses

    unit = 2**20 if sys.platform == "darwin" else 2**10
    return *uvloop.run(delete()), getrusage(RUSAGE_SELF).ru_maxrss / unit


async def _longest_pause() -> float:
    """Until cancelled, the longest that the loop took to come back to somebody who waits 1 ms."""
    longest, last = 0.0, time.perf_counter()
    with suppress(asyncio.CancelledError):
        while True:
            await asyncio.sleep(0.001)
            longest, last = max(longest, time.perf_counter() - last), time.perf_counter()
    return max(longest, time.perf_counter() - last)


def _probe(settings: dict[str, object], ready: Event, over: Event) -> list[float]:
    """Seconds that a small command takes, again and again until it is over."""

    async def probe() -> list[float]:
        waits: list[float] = []
        async with open_club(Settings(**settings), projecting=False) as club:  # type: ignore[arg-type]
            await _do(club.bus, AddExercise(ExerciseBody(title="warm")))
            ready.set()
            while not over.is_set():
                started = time.perf_counter()
                await _do(club.bus, AddExercise(ExerciseBody(title=uuid4().hex)))
                waits.append(time.perf_counter() - started)
        return waits

    return uvloop.run(probe())


async def _do(bus: Bus, command: AddExercise | DeleteExercise) -> None:
    await bus.execute(command, Context(THE_CLUB, "bench", visible=False))


def _copied(database: str, size: int) -> float:
    """Seconds for raw COPY of the cascade's rows into a table like the ledger's."""
    with psycopg.connect(database) as connection:
        connection.execute("CREATE TABLE copied (LIKE ledger_events INCLUDING INDEXES)")
        rows = connection.execute(
            "SELECT * FROM ledger_events WHERE topic = 'training.exercise-removed'"
        ).fetchall()
        assert len(rows) == size
        started = time.perf_counter()
        with connection.cursor().copy("COPY copied FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
        connection.commit()
        return time.perf_counter() - started


def _facts(title: str) -> dict[str, str | bool | None]:
    return {
        "title": title,
        "description": None,
        "muscle_group": None,
        "equipment_required": False,
        "complexity_lvl": "BEGINNER",
    }


def _client(at: datetime) -> Client:
    return Client.register(1, CLIENT | {"user_id": 1, "membership_id": 1}, at)


def _training(number: int, exercise_id: int, at: datetime) -> Training:
    training = training_of(1, number, at)
    training.add_exercise(exercise_id, DOING, at)
    training.change({"intensity": "HIGH"}, at)
    return training
