"""A process that is frozen with a lock in its hand: others go on, and it learns so on waking."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from application.ports.ledger import StaleDecision
from infra.following.projecting import Projector
from infra.following.rebuilding import rebuild
from infra.following.watch import Watch
from infra.ledger.postgres import Postgres
from infra.ledger.schema import advance_ledger
from projections.catalogue import DOCUMENTED
from tests.acceptance.service import CHECKOUT
from tests.infra.ledger.scenes import entry, log, look, outcomes, writing
from tests.projections.histories import record, rich
from tests.waiting import until

WAITING = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"

SOON = 15.0
"""Seconds within which others go on."""

Frozen = Callable[[str, str], subprocess.Popen[str]]

# In the middle of a batch: the lock is held, the versions are checked, nothing is inserted yet.
WRITER = """
from infra.ledger import writer
from infra.ledger.ledger import PostgresLedger
from tests.infra.ledger.scenes import entry, outcomes

insert = writer._insert
times = []

async def insert_late(*given):
    times.append(1)
    if len(times) == 1:
        freeze()
    return await insert(*given)

writer._insert = insert_late

async def main(url):
    ledger = PostgresLedger(Postgres(url), lambda head, commands: None)
    running = asyncio.create_task(ledger.run())
    answers = [ledger._writer.append(entry(f"thing-{n}")) for n in (1, 2)]
    print([f if isinstance(f, int) else f.__name__ for f in await outcomes(answers)])
    ledger.close()
    await running
"""

# Waiting for the lock, which Postgres will give to whoever is frozen by then.
IN_LINE = """
from infra.ledger.ledger import PostgresLedger
from tests.infra.ledger.scenes import entry, look

async def main(url):
    ledger = PostgresLedger(Postgres(url), lambda head, commands: None)
    running = asyncio.create_task(ledger.run())
    ledger._writer.append(entry("thing-3"))
    while not look(url, "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"):
        await asyncio.sleep(0.01)
    freeze()
"""

# Half of a pipeline is sent: the lock is taken, and Postgres waits for what comes after it.
HALF_SENT = """
from infra.ledger.schema import LOCK

async def main(url):
    connection = await Postgres(url).connect()
    async with connection.pipeline():
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        connection.pgconn.send_flush_request()
        connection.pgconn.flush()
        await asyncio.sleep(0.5)
        freeze()
"""

# A projector that does not take what it asked for: Postgres cannot send all of it.
HALF_TAKEN = """
async def main(url):
    connection = await Postgres(url).connect()
    await connection.execute("SELECT position FROM read_groups FOR UPDATE")
    connection.pgconn.send_query(b"SELECT repeat('x', 1000) FROM generate_series(1, 20000)")
    connection.pgconn.flush()
    await asyncio.sleep(0.5)
    freeze()
"""

# A lock that outlives transactions: whoever rebuilds, or takes the ledger's steps.
BETWEEN_STATEMENTS = """
from infra.following import rebuilding
from infra.ledger.schema import advance_ledger, Step
import infra.ledger.schema as schema
from projections.catalogue import DOCUMENTED

async def frozen(*given, **named):
    freeze()
    await asyncio.sleep(0.1)
    raise SystemExit("it was not refused")

async def main(url):
    postgres = Postgres(url)
    rebuilding._try_out = frozen
    await rebuilding.rebuild(postgres, DOCUMENTED)
"""

STEPS = """
from infra.ledger import schema

async def main(url):
    async with await Postgres(url).connect(autocommit=True) as connection:
        taken = schema._is

        async def late(connection, sql, param):
            if sql == schema._TAKEN.format(noted="ledger_schema"):
                freeze()
            return await taken(connection, sql, param)

        schema._is = late
        await schema.advance_ledger(connection)
"""

AROUND = """
import asyncio, os, signal, sys
from infra.ledger.postgres import Postgres

def freeze():
    os.kill(os.getpid(), signal.SIGSTOP)
{script}
asyncio.run(main(sys.argv[1]))
"""


@pytest.fixture
def frozen() -> Iterator[Frozen]:
    """Runs a script until it has frozen itself."""
    started: list[subprocess.Popen[str]] = []

    def run(script: str, url: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", AROUND.format(script=script), url],
            cwd=CHECKOUT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        deadline = time.monotonic() + 30
        while " T " not in " " + _state(process.pid) + " ":
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def wake(process: subprocess.Popen[str]) -> tuple[str, str]:
    """What it says once it goes on, in order and otherwise."""
    os.kill(process.pid, signal.SIGCONT)
    return process.communicate(timeout=30)


async def test_a_writer_that_is_frozen_in_a_batch_neither_holds_up_nor_loses_nor_doubles(
    database: str, frozen: Frozen
) -> None:
    sleeper = await asyncio.to_thread(frozen, WRITER, database)
    begun = time.monotonic()
    async with writing(database) as writer:
        assert await outcomes([writer.append(entry("thing-1"))]) == [1]
    assert time.monotonic() - begun < SOON
    said, errors = await asyncio.to_thread(wake, sleeper)
    assert said.splitlines()[-1] == f"['{StaleDecision.__name__}', 2]", (said, errors)
    assert log(database) == [(1, "thing-1", 1), (2, "thing-2", 1)]


async def test_several_writers_that_are_frozen_one_behind_the_other_are_soon_passed(
    database: str, frozen: Frozen
) -> None:
    await asyncio.to_thread(frozen, WRITER, database)
    queued = asyncio.create_task(asyncio.to_thread(frozen, IN_LINE, database))
    begun = time.monotonic()
    await until(lambda: asyncio.to_thread(look, database, WAITING), "it waits for the lock")
    await queued
    async with writing(database) as writer:
        assert await outcomes([writer.append(entry("thing-9"))]) == [1]
    assert time.monotonic() - begun < SOON


async def test_what_is_half_sent_or_half_taken_is_ended_by_whoever_is_awake(
    database: str, frozen: Frozen
) -> None:
    await asyncio.gather(
        asyncio.to_thread(frozen, HALF_SENT, database),
        asyncio.to_thread(frozen, HALF_TAKEN, database),
    )
    begun = time.monotonic()
    postgres = Postgres(database)
    async with postgres.open():
        watching = asyncio.create_task(postgres.keep_watch())
        async with writing(database) as writer, await postgres.connect() as connection:
            writes = writer.append(entry("thing-1"))
            await Projector(postgres, DOCUMENTED, Watch()).step(connection)
            assert await writes == 1
        assert time.monotonic() - begun < SOON
        watching.cancel()


async def test_a_rebuild_that_is_frozen_is_soon_passed_by_another(
    database: str, frozen: Frozen
) -> None:
    await record(database, rich(50).events)
    sleeper = await asyncio.to_thread(frozen, BETWEEN_STATEMENTS, database)
    begun = time.monotonic()
    held = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted"

    async def let_go() -> bool:
        return not await asyncio.to_thread(look, database, held)

    await until(let_go, "it lost its lock", SOON)
    await rebuild(Postgres(database), DOCUMENTED)
    assert time.monotonic() - begun < SOON + 5
    said, _ = await asyncio.to_thread(wake, sleeper)
    assert "it was not refused" not in said
    assert look(database, "SELECT position > 0 FROM read_groups WHERE name = 'documented'")


async def test_whoever_is_frozen_between_two_steps_of_the_ledger_is_soon_passed(
    database: str, frozen: Frozen
) -> None:
    sleeper = await asyncio.to_thread(frozen, STEPS, database)
    begun = time.monotonic()
    async with await Postgres(database).connect(autocommit=True) as connection:
        await advance_ledger(connection)
    assert time.monotonic() - begun < SOON
    _, errors = await asyncio.to_thread(wake, sleeper)
    assert "OperationalError" in errors or "IdleSessionTimeout" in errors
