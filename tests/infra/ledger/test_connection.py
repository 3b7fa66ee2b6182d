"""What holds on every connection of ours, whatever the defaults are, and who waits for whom."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator

import psutil
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from application.ports.ledger import LedgerUnavailable, TookTooLong
from infra.ledger.postgres import Desks, Postgres
from tests.infra.ledger.scenes import entry, look, outcomes, writing

HOSTILE = {
    "default_transaction_isolation": "serializable",
    "default_transaction_deferrable": "on",
    "DateStyle": "SQL, DMY",
    "IntervalStyle": "iso_8601",
    "bytea_output": "escape",
    "extra_float_digits": "-15",
    "client_encoding": "LATIN1",
    "standard_conforming_strings": "off",
    "timezone": "Asia/Kathmandu",
    "search_path": "pg_catalog",
    "statement_timeout": "1ms",
    "lock_timeout": "1ms",
    "idle_session_timeout": "1ms",
    "transaction_timeout": "500ms",
    "synchronous_commit": "off",
    "row_security": "off",
}


@pytest.fixture
def hostile(database: str, server: str) -> Iterator[str]:
    """The database for a role whose defaults are not those that one would think."""
    role = f"hostile_{conninfo_to_dict(database)['dbname']}"
    look(server, f"CREATE ROLE {role} LOGIN SUPERUSER PASSWORD 'hostile'")
    for name, value in HOSTILE.items():
        if look(server, "SELECT 1 FROM pg_settings WHERE lower(name) = lower(%s)", name):
            look(server, f"ALTER ROLE {role} SET {name} = '{value}'")
    yield make_conninfo(database, user=role, password="hostile")
    look(server, f"DROP ROLE {role}")


async def test_nothing_of_a_roles_defaults_reaches_our_connections(hostile: str) -> None:
    postgres = Postgres(hostile)
    async with postgres.open(), await postgres.connect(autocommit=True) as connection:
        for name, value in HOSTILE.items():
            cursor = await connection.execute("SELECT current_setting(%s, TRUE)", [name])
            assert await cursor.fetchone() != (value,), name
        ((isolation,),) = await postgres.rows("SHOW transaction_isolation")
        assert isolation == "read committed"


async def test_a_ledger_is_written_and_read_under_a_hostile_role(
    hostile: str, database: str
) -> None:
    async with writing(hostile) as writer:
        facts = {"name": "Développé \\ '"}
        answers = [writer.append(entry(f"thing-{n}", facts=facts)) for n in range(1, 4)]
        assert await outcomes(answers) == [1, 2, 3]
    ((state,),) = look(database, "SELECT state FROM ledger_events LIMIT 1")
    assert b"D\xc3\xa9velopp\xc3\xa9" in state


# --- desks -------------------------------------------------------------------------------------


@pytest.fixture
async def postgres(database: str) -> AsyncIterator[Postgres]:
    opened = Postgres(database, Desks(showing_seconds=2.0, deciding_seconds=1.0))
    async with opened.open():
        yield opened


async def test_what_is_slow_at_one_desk_is_not_waited_for_at_another(postgres: Postgres) -> None:
    slow = [asyncio.create_task(postgres.listing.rows("SELECT pg_sleep(1.5)")) for _ in range(8)]
    await asyncio.sleep(0.3)
    begun = time.monotonic()
    for desk in (postgres.deciding, postgres.showing, postgres.watching):
        assert await desk.rows("SELECT 1") == [(1,)]
    assert time.monotonic() - begun < 1.0
    assert not any(task.done() for task in slow)
    await asyncio.gather(*slow, return_exceptions=True)


async def test_what_took_too_long_is_not_asked_again(postgres: Postgres, database: str) -> None:
    look(database, "CREATE SEQUENCE asked")
    with pytest.raises(TookTooLong):
        await postgres.rows("SELECT nextval('asked'), pg_sleep(5)")
    assert look(database, "SELECT last_value FROM asked") == [(1,)]
    assert await postgres.rows("SELECT 1") == [(1,)]


async def test_what_waits_too_long_for_a_locked_table_is_not_asked_again(
    postgres: Postgres, database: str
) -> None:
    async with await psycopg.AsyncConnection.connect(database) as other:
        await other.execute("LOCK TABLE ledger_receipts IN ACCESS EXCLUSIVE MODE")
        begun = time.monotonic()
        with pytest.raises(TookTooLong):
            await postgres.rows("SELECT count(*) FROM ledger_receipts")
        assert time.monotonic() - begun < 1.9


async def test_a_lost_connection_is_made_anew_and_the_question_asked_again(
    postgres: Postgres, database: str
) -> None:
    assert await postgres.rows("SELECT 1") == [(1,)]
    await asyncio.gather(*(postgres.rows("SELECT pg_sleep(0.1)") for _ in range(4)))
    look(
        database,
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
        "WHERE datname = current_database() AND application_name = 'club'",
    )
    found = await asyncio.gather(*(postgres.rows("SELECT 1") for _ in range(4)))
    assert found == [[(1,)]] * 4
    assert postgres.era == 0


async def test_whoever_finds_a_desk_busy_for_too_long_is_told_so(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.ledger.postgres.LONGEST_WAIT", 0.2)
    small = Postgres(postgres.url, Desks(listing=1))
    async with small.open():
        slow = asyncio.create_task(small.listing.rows("SELECT pg_sleep(1)"))
        await asyncio.sleep(0.1)
        with pytest.raises(LedgerUnavailable):
            await small.listing.rows("SELECT 1")
        await slow


async def test_a_connection_that_nobody_waits_for_any_more_is_not_kept_open(database: str) -> None:
    """Wherever it is given up: a server waits for a minute for one that is half made."""
    postgres = Postgres(database)
    await (await postgres.connect()).close()
    before = psutil.Process().num_fds()
    given_up = []
    for number in range(40):
        connecting = asyncio.create_task(postgres.connect())
        await asyncio.sleep(number / 5_000)
        connecting.cancel()
        await asyncio.wait({connecting})
        given_up.append(connecting)  # it refers to all that it had begun
    assert any(task.cancelled() for task in given_up)
    for task in given_up:
        if not task.cancelled():
            await task.result().close()
    assert psutil.Process().num_fds() == before
