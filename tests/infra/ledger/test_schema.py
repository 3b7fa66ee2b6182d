"""The ledger's own tables: they move by numbered steps, and whoever opens the club looks only."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import psycopg
import pytest

from infra.bootstrap import HomeMissing, open_club
from infra.following.rebuilding import build_forward, make_missing, rebuild
from infra.ledger import schema
from infra.ledger.postgres import Postgres
from infra.ledger.schema import (
    LOCK,
    SEQUENCES,
    STEPS,
    LedgerMissing,
    LedgerOlder,
    Step,
    advance_ledger,
    open_ledger,
)
from infra.settings import Settings
from projections.catalogue import DOCUMENTED, GROUPS
from tests.projections.histories import every_row, record, rich

BEFORE = Path(__file__).with_name("release_0_1_0.sql")
"""The tables that the release before numbered steps made, and what it kept of its read tables."""


async def ask(database: str, sql: str, *params: Any) -> list[tuple[Any, ...]]:
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        cursor = await connection.execute(sql.encode(), params or None)
        return await cursor.fetchall() if cursor.description else []


async def advance(database: str, steps: tuple[Step, ...] = STEPS) -> None:
    async with await Postgres(database).connect(autocommit=True) as connection:
        await advance_ledger(connection, steps)


async def opened(database: str) -> schema.Opened:
    async with await Postgres(database).connect(autocommit=True) as connection:
        return await open_ledger(connection)


async def taken(database: str) -> list[int]:
    return [row[0] for row in await ask(database, "SELECT number FROM ledger_schema ORDER BY 1")]


# --- steps -------------------------------------------------------------------------------------


async def test_steps_are_taken_once_whoever_takes_them_at_once(empty_database: str) -> None:
    await asyncio.gather(*(advance(empty_database) for _ in range(4)))
    numbers = [step.number for step in STEPS]
    assert await taken(empty_database) == numbers
    assert numbers == list(range(1, len(STEPS) + 1))
    assert not (await opened(empty_database)).has_rules


async def test_every_kind_of_thing_has_its_sequence(empty_database: str) -> None:
    await advance(empty_database)
    found = await ask(empty_database, "SELECT relname FROM pg_class WHERE relkind = 'S'")
    assert {row[0] for row in found} >= set(SEQUENCES.values())


async def test_a_step_that_fails_is_not_taken_and_can_be_taken_again(empty_database: str) -> None:
    wrong = Step(len(STEPS) + 1, "CREATE TABLE more (); SELECT 1 / 0")
    with pytest.raises(psycopg.errors.DivisionByZero):
        await advance(empty_database, (*STEPS, wrong))
    assert await taken(empty_database) == [step.number for step in STEPS]
    right = Step(len(STEPS) + 1, "CREATE TABLE more ()")
    await advance(empty_database, (*STEPS, right))
    assert (await taken(empty_database))[-1] == right.number


async def test_an_index_is_built_without_holding_up_an_append(empty_database: str) -> None:
    await advance(empty_database)
    index = Step(
        len(STEPS) + 1,
        "CREATE INDEX CONCURRENTLY more ON ledger_events (command_id)",
        builds="more",
    )
    async with (
        await Postgres(empty_database).connect() as append,
        await Postgres(empty_database).connect() as other,
    ):
        await append.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        await append.execute("LOCK TABLE ledger_events IN ROW EXCLUSIVE MODE")
        building = asyncio.create_task(advance(empty_database, (*STEPS, index)))
        # It waits for the append that is under way; another append does not wait for it.
        await asyncio.wait({building}, timeout=0.3)
        await other.execute("SET lock_timeout = '5s'")
        await other.execute("LOCK TABLE ledger_events IN ROW EXCLUSIVE MODE")
        await other.rollback()
        await append.rollback()
        await building
    assert (await taken(empty_database))[-1] == index.number
    await advance(empty_database, (*STEPS, index))


async def test_an_index_is_built_once_by_whoever_comes_at_once_and_again_where_it_was_left(
    empty_database: str,
) -> None:
    await advance(empty_database)
    sql = "CREATE UNIQUE INDEX CONCURRENTLY more ON ledger_receipts (source)"
    index = Step(len(STEPS) + 1, sql, builds="more")
    for key in ("a", "b"):
        await ask(empty_database, "INSERT INTO ledger_receipts VALUES ('same', %s, '', '{}')", key)
    with pytest.raises(psycopg.errors.UniqueViolation):
        await advance(empty_database, (*STEPS, index))
    invalid = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('more')"
    assert await ask(empty_database, invalid) == [(False,)]
    await ask(empty_database, "DELETE FROM ledger_receipts WHERE key = 'b'")
    await asyncio.gather(*(advance(empty_database, (*STEPS, index)) for _ in range(3)))
    assert await ask(empty_database, invalid) == [(True,)]
    assert (await taken(empty_database))[-1] == index.number


# --- who only looks ----------------------------------------------------------------------------


async def test_a_database_without_a_club_is_said_and_left_as_it_is(
    empty_database: str, settings: Settings
) -> None:
    with pytest.raises(LedgerMissing):
        async with open_club(settings.model_copy(update={"database_url": empty_database})):
            pytest.fail("there is no club")
    assert await ask(empty_database, "SELECT relname FROM pg_class WHERE relname ~ 'ledger'") == []


async def test_a_folder_without_a_club_is_said_and_left_as_it_is(tmp_path: Path) -> None:
    home = tmp_path / "nowhere"
    with pytest.raises(HomeMissing):
        async with open_club(Settings(home=home, database_url=None)):
            pytest.fail("there is no club")
    assert not home.exists()


async def test_a_ledger_of_an_older_release_is_for_whoever_projects_to_advance(
    database: str, settings: Settings
) -> None:
    await ask(database, "DELETE FROM ledger_schema WHERE number = %s", STEPS[-1].number)
    with pytest.raises(LedgerOlder, match=f"at step {STEPS[-2].number} of {STEPS[-1].number}"):
        async with open_club(settings):
            pytest.fail("its tables are older")


async def test_a_ledger_of_a_newer_release_is_worked_on(database: str, settings: Settings) -> None:
    await ask(database, "INSERT INTO ledger_schema VALUES (999)")
    async with open_club(settings) as club:
        assert await club.ledger.head() == 0


async def test_opening_the_club_asks_little_and_changes_and_locks_nothing(
    database: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    execute = psycopg.AsyncConnection.execute

    async def noted(self: Any, query: Any, *params: Any, **more: Any) -> Any:
        asked.append(str(query))
        return await execute(self, query, *params, **more)

    monkeypatch.setattr(psycopg.AsyncConnection, "execute", noted)
    async with await psycopg.AsyncConnection.connect(database) as append:
        # As in the middle of an append, and of a change of the ledger's tables.
        await append.execute(
            "SELECT pg_advisory_xact_lock(%s), pg_advisory_xact_lock(%s)",
            [LOCK, schema.SCHEMA_LOCK],
        )
        await append.execute("LOCK TABLE ledger_events IN ACCESS SHARE MODE")
        asked.clear()
        async with asyncio.timeout(20), open_club(settings, projecting=False):
            assert len(asked) <= 3, asked
            assert not [sql for sql in asked if "CREATE" in sql.upper() or "ALTER" in sql.upper()]


# --- from the release before numbered steps ----------------------------------------------------


async def test_a_club_of_the_release_before_steps_goes_on(
    empty_database: str, settings: Settings
) -> None:
    await ask(empty_database, BEFORE.read_text())
    events = rich(400).events
    await record(empty_database, events)
    identity = await ask(empty_database, "SELECT id FROM ledger_identity")
    before = await ask(
        empty_database, "SELECT definition FROM projection_positions WHERE name = 'read tables'"
    )
    upgraded = settings.model_copy(update={"database_url": empty_database})
    async with open_club(upgraded, building=True) as club:
        assert await club.watch.reached(len(events), 60), "its tables are built anew"
        assert await ask(empty_database, "SELECT id FROM ledger_identity") == identity
        assert (await rebuild(club.postgres, DOCUMENTED)).differing == ()
        # What still runs of that release sees how far the tables are, and takes nothing away.
        head = await club.ledger.head()
        kept = await ask(
            empty_database,
            "SELECT position, definition, tables FROM projection_positions"
            " WHERE name = 'read tables'",
        )
        assert kept == [(head, before[0][0], [])]
        # Its projector, which would write rows of its own, cannot move its position.
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
            await ask(
                empty_database,
                "UPDATE projection_positions SET position = 7 WHERE name = 'read tables'",
            )


async def test_tables_are_made_for_groups_that_have_none(empty_database: str) -> None:
    await advance(empty_database)
    postgres = Postgres(empty_database)
    await asyncio.gather(*(make_missing(postgres, GROUPS) for _ in range(3)))
    assert (await opened(empty_database)).has_tables
    await build_forward(postgres, DOCUMENTED)
    async with await postgres.connect() as connection:
        assert await every_row(connection) == []


async def test_heads_that_were_restored_with_the_ledger_stay_when_their_step_is_taken(
    empty_database: str,
) -> None:
    seals = next(step.number for step in STEPS if "ledger_seals" in step.sql)
    await advance(empty_database, STEPS[: seals - 1])
    with pytest.raises(LedgerOlder):
        await opened(empty_database)
    await ask(
        empty_database,
        "CREATE TABLE ledger_seals (position bigint PRIMARY KEY, size bigint NOT NULL,"
        " root bytea NOT NULL, moment timestamptz NOT NULL, key text NOT NULL,"
        " signature bytea NOT NULL)",
    )
    await ask(empty_database, "INSERT INTO ledger_seals VALUES (1, 1, '', now(), '', '')")
    await advance(empty_database)
    assert await ask(empty_database, "SELECT position FROM ledger_seals") == [(1,)]
    with pytest.raises(psycopg.errors.RaiseException, match="never changed"):
        await ask(empty_database, "TRUNCATE ledger_seals")
