"""What a crash takes from the chain's own Postgres, whose commits need not be on disk."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from psycopg.conninfo import make_conninfo

from infra.servers.postgres_server import PostgresServer
from tests.conftest import in_memory
from tests.infra.chain.scenes import Chain, arrived, ask
from tests.infra.chain.test_standing import retry_at_once, stands


@pytest.fixture
def crashing() -> Iterator[PostgresServer]:
    """A Postgres of one's own."""
    home = Path(tempfile.mkdtemp(prefix="club-crash-", dir=in_memory()))
    server = PostgresServer(home, home / "postgres")
    server.start()
    yield server
    server.stop()
    shutil.rmtree(home)


def crash(server: PostgresServer) -> None:
    """Kill all of it at once, and start it again."""
    first = psutil.Process(int((server.data / "postmaster.pid").read_text().split()[0]))
    family = [first, *first.children(recursive=True)]
    for one in family:
        one.send_signal(signal.SIGSTOP)
    for one in family:
        one.kill()
    psutil.wait_procs(family, timeout=10)
    server.start()


async def test_what_a_crash_took_comes_again_from_the_ledger_once_it_can_be_reached(
    chain: Chain, crashing: PostgresServer
) -> None:
    (north, _), found = chain.clubs, Chain(crashing.url("club"))
    head, records = await north.head(), await north.records(size=60)
    async with found.intake() as intake:
        await found.join(here := replace(north))
        await intake.take(arrived(*records[:2]))
        await ask(found.url, "CHECKPOINT")
        ((writer,),) = await ask(
            found.url, "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'"
        )
        os.kill(writer, signal.SIGSTOP)  # or it would write down what must not be on disk
        await intake.take(arrived(*records))
        assert await found.positions(here) == {"documented": head, "figures": head}
    await asyncio.to_thread(crash, crashing)
    assert await found.positions(here) == {"documented": 120, "figures": 120}
    away = make_conninfo(north.url, dbname="nothing_there")
    await ask(found.url, "UPDATE chain_clubs SET url = %s", away)
    await north.more(30)
    async with found.worker() as intake:
        # What Kafka brings from here on leaves a hole: the club is shown as far as it was.
        await intake.take(arrived(*await north.records(after=head)))
        await stands(found, here, "cannot be reached")
        assert await found.positions(here) == {"documented": 120, "figures": 120}
        await ask(found.url, "UPDATE chain_clubs SET url = %s", north.url)
        await retry_at_once(found)
        await found.reaches(here, head + 30)
    assert await found.standing(here) == {}
    await found.is_as_its_club(here)
