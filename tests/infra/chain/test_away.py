"""The chain's own database, or the ledgers of some clubs, are away: whoever is left goes on."""

from __future__ import annotations

import asyncio
import time

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from infra.chain import ledgers
from infra.chain.ledgers import reading
from infra.chain.records import NOTHING
from tests.infra.chain.scenes import Chain, admin, arrived, ask

HUNG = 12
"""Clubs whose ledgers say nothing: more than are looked at at once."""

SOON = 30.0
"""Seconds within which the others are where they should be, on a machine with a lot to do."""


async def test_where_the_chains_own_database_is_away_nothing_is_lost_and_no_worker_ends(
    chain: Chain, server: str
) -> None:
    north, south = chain.clubs
    records = arrived(*await north.records(size=100), *await south.records(size=100))
    name = str(conninfo_to_dict(chain.url)["dbname"])
    end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}'"
    async with chain.worker() as intake:
        await intake.take(records[:2])
        admin(server, f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        admin(server, end.format(name))
        for _ in range(3):
            with pytest.raises(psycopg.OperationalError):
                await intake.take(records)
        await asyncio.sleep(2)  # whoever keeps up finds it away, too
        admin(server, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        await intake.take(records[:4])
        for club in chain.clubs:
            await chain.reaches(club, await club.head())
    for club in chain.clubs:
        await chain.is_as_its_club(club)
        assert await chain.standing(club) == {}


async def test_ledgers_that_say_nothing_delay_no_other(chain: Chain) -> None:
    north, south = chain.clubs

    async def silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)

    held: list[asyncio.StreamWriter] = []
    listening = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    for number in range(HUNG):
        await ask(
            chain.url,
            "INSERT INTO chain_clubs (name, ledger, url, secret) VALUES (%s, %s, %s, '')",
            *(f"hung-{number}", f"{number}", f"host=127.0.0.1 port={port} user=a dbname=a"),
        )
    async with chain.worker() as intake:
        begun = time.monotonic()
        await intake.take(arrived(*(await north.records(size=60))[1:]))
        for club in (north, south):
            await chain.reaches(club, await club.head())
        await south.more(20)
        await chain.reaches(south, await south.head())
        assert time.monotonic() - begun < SOON
        open_at_once = await ask(
            south.url, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        )
        assert open_at_once[0][0] < 5
    said = await ask(
        chain.url, "SELECT DISTINCT reason FROM chain_positions WHERE club > %s", south.number
    )
    assert ("its ledger cannot be reached",) in said
    for writer in held:
        writer.close()
    listening.close()


async def test_a_ledger_over_a_slow_link_is_read_as_long_as_something_comes(  # noqa: PLR0915 - a link of its own
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In parts of so many bytes, and for longer than a ledger may be silent."""
    north, _ = chain.clubs
    known = conninfo_to_dict(north.url)
    passed: list[asyncio.Future[tuple[None, None]]] = []
    there = f"{known['host']}/.s.PGSQL.{known.get('port', 5432)}"
    monkeypatch.setattr(ledgers, "LONGEST_READ", 0.5)
    monkeypatch.setattr(ledgers, "MOST_READ", 60_000)

    async def slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1000):
            await asyncio.sleep(len(data) / 50_000)
            writer.write(data)
        writer.close()

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_unix_connection(there)
        passing = asyncio.gather(slowly(reader, forth), slowly(back, writer))
        passed.append(passing)
        await passing

    link = await asyncio.start_server(pass_on, "127.0.0.1", 0)
    port = str(link.sockets[0].getsockname()[1])
    async with reading(make_conninfo(north.url, host="127.0.0.1", port=port)) as ledger:
        head = await north.head()
        begun = time.monotonic()
        stretches = [stretch async for stretch in ledger.after(0, NOTHING, head)]
        assert time.monotonic() - begun > 2 * ledgers.LONGEST_READ
    assert stretches[-1].last == head
    assert len(stretches) > 1
    await asyncio.wait(passed, timeout=SOON)
    for stretch in stretches:
        assert sum(len(raw) for raw, _ in stretch.events) < 2 * ledgers.MOST_READ
    link.close()
