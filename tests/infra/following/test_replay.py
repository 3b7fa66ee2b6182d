"""Replaying the ledger: to exchange the tables, to check them, or to look back."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from application.access import THE_CLUB
from application.command import Context
from application.memberships import AddMembership, ChangeMembership, MembershipBody
from application.ports.queries import View
from infra.bootstrap import Club
from infra.following.exchange import NotCompared
from infra.following.rebuilding import NoRoom, RebuildRunning, RebuildStopped, rebuild
from infra.following.replaying import (
    MISSING,
    NOT_SHOWN,
    SHOWN,
    LookedBackThere,
    SchemaRefused,
    SchemaThere,
    build_into,
    check,
)
from infra.ledger.postgres import Postgres
from infra.settings import Settings
from projections.catalogue import DOCUMENTED, GROUPS
from tests.infra.following.test_rebuild import (
    ask,
    connected,
    follow,
    rebuilding,
    rows_of,
    stopped_halfway,
)
from tests.projections.histories import record, rich
from tests.waiting import until

SCHEMAS = "SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'public'"


@pytest.fixture
async def followed(database: str) -> str:
    """A database with a rich history, which the tables show."""
    await record(database, rich(600).events)
    await follow(database)
    return database


async def schemas(database: str) -> set[str]:
    return {row[0] for row in await ask(database, SCHEMAS)} - {"information_schema"}


# --- checking ----------------------------------------------------------------------------------


async def test_a_check_of_what_is_right_finds_nothing_and_leaves_nothing(followed: str) -> None:
    before = await rows_of(followed)
    files = "SELECT relname, relfilenode FROM pg_class WHERE relnamespace = 'public'::regnamespace"
    tables = await ask(followed, files)
    done = await check(Postgres(followed), DOCUMENTED)
    assert (list(done.differing), list(done.first)) == ([], [])
    assert done.events == done.position > 100
    assert await rows_of(followed) == before
    assert await ask(followed, files) == tables, "the tables in use are the same"
    assert await schemas(followed) == set()


@pytest.mark.parametrize(
    ("tampering", "difference"),
    [
        (
            "UPDATE users SET email = 'bent@example.com' WHERE id = 2",
            ("users", "id 2", "email", "bent@example.com"),
        ),
        (
            "UPDATE users SET password_hash = 'mine' WHERE id = 2",
            ("users", "id 2", "password_hash", NOT_SHOWN),
        ),
        (
            "INSERT INTO memberships (id, price) VALUES (999, 0)",
            ("memberships", "id 999", "", "a row"),
        ),
        (
            "DELETE FROM aggregate_versions WHERE aggregate_id = 'user-1'",
            ("aggregate_versions", "aggregate_id user-1", "", MISSING),
        ),
    ],
)
async def test_what_differs_is_shown_row_by_row_and_stays_as_it_is(
    followed: str, tampering: str, difference: tuple[str, str, str, str]
) -> None:
    await ask(followed, tampering)
    before = await rows_of(followed)
    done = await check(Postgres(followed), DOCUMENTED)
    assert list(done.differing) == [difference[0]]
    (first,) = done.first
    assert (first.table, first.key, first.column, first.found) == difference
    assert "mine" not in repr(done)
    assert "argon2" not in repr(done)
    assert await rows_of(followed) == before
    assert await schemas(followed) == set()


@pytest.mark.parametrize(
    ("tampering", "table", "found"),
    [
        ("DROP TABLE payments CASCADE", "payments", "no table"),
        (
            "ALTER TABLE training_plan_trainings DROP COLUMN training_id",
            "training_plan_trainings",
            "training_plan_id integer",
        ),
    ],
)
async def test_a_table_of_another_form_is_named_with_its_columns(
    followed: str, tampering: str, table: str, found: str
) -> None:
    await ask(followed, tampering)
    done = await check(Postgres(followed), DOCUMENTED)
    (first,) = done.first
    assert (first.table, first.found) == (table, found)
    assert "id integer" in first.due


async def test_of_many_rows_that_differ_the_first_are_shown(followed: str) -> None:
    await ask(followed, "UPDATE clients SET first_name = first_name || '!'")
    done = await check(Postgres(followed), DOCUMENTED)
    assert len(done.first) == SHOWN
    assert all(one.found == one.due + "!" for one in done.first)


async def test_tables_that_are_behind_are_not_called_different(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.following.exchange.MOST_TRIES", 2)
    await record(database, rich(300).events)
    with pytest.raises(NotCompared):
        await check(Postgres(database), DOCUMENTED)
    assert await schemas(database) == set()


async def test_the_command_line_ends_with_1_and_prints_the_rows(
    followed: str, settings: Settings
) -> None:
    await ask(
        followed, "UPDATE memberships SET price = 4711 WHERE id = (SELECT max(id) FROM memberships)"
    )
    with rebuilding(followed, settings, "replay", "documented", "--check") as process:
        said, complaint = await asyncio.to_thread(process.communicate, timeout=120)
    assert process.returncode == 1, complaint
    first, *rows = said.splitlines()
    assert first.startswith("documented: ")
    assert [row for row in rows if re.match("  memberships id [0-9]+ price: is 4711, should", row)]
    with rebuilding(followed, settings, "replay") as process:
        said, complaint = await asyncio.to_thread(process.communicate, timeout=120)
    assert process.returncode == 0, complaint
    assert "  memberships was not what the ledger says; now it is." in said.splitlines()
    assert re.search("[1-9][0-9,]*/s", complaint), "how fast it is"
    assert list((await check(Postgres(followed), DOCUMENTED)).differing) == []


# --- looking back ------------------------------------------------------------------------------


async def tables_in(database: str, schema: str) -> dict[str, list[str]]:
    return {
        table.name: [
            row[0]
            for row in await ask(
                database, f"SELECT to_jsonb(t)::text FROM {schema}.{table.name} AS t ORDER BY 1"
            )
        ]
        for table in DOCUMENTED.tables
    }


async def test_the_tables_as_they_were_are_what_they_were(database: str) -> None:
    events = rich(600).events
    half = len(events) // 2
    await record(database, events[:half])
    await follow(database)
    then = await tables_in(database, "public")
    await record(database, events[half:], head=half)
    await follow(database)
    now = await tables_in(database, "public")
    assert now != then
    await build_into(Postgres(database), GROUPS, "last_spring", half)
    assert await tables_in(database, "last_spring") == then
    assert await tables_in(database, "public") == now
    assert await schemas(database) == {"last_spring"}
    with pytest.raises(LookedBackThere, match='or DROP SCHEMA "last_spring" CASCADE'):
        await build_into(Postgres(database), GROUPS, "last_spring", half)
    await ask(database, "CREATE SCHEMA accounting")
    for another in ("public", "information_schema", "accounting"):
        with pytest.raises(SchemaThere) as refused:
            await build_into(Postgres(database), GROUPS, another, half)
        assert "DROP" not in str(refused.value)
    assert await tables_in(database, "last_spring") == then
    await ask(database, "DROP SCHEMA last_spring CASCADE")
    assert await tables_in(database, "public") == now


@pytest.mark.parametrize(
    "name", ["pg_temp", "club_rebuild_documented", "Spring", "a b", "", "x" * 64, 'a"; --', "1st"]
)
async def test_a_name_that_is_no_schemas_of_ones_own_is_refused(database: str, name: str) -> None:
    with pytest.raises(SchemaRefused):
        await build_into(Postgres(database), GROUPS, name, 0)
    assert await schemas(database) == set()


# --- what gets in its way ----------------------------------------------------------------------

FULL = """
CREATE FUNCTION is_full() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM pg_event_trigger_ddl_commands() WHERE schema_name ~ '^club_rebuild') THEN
        RAISE EXCEPTION 'could not extend file "base/5/1": No space left on device'
            USING ERRCODE = 'disk_full';
    END IF;
END $$;
CREATE EVENT TRIGGER is_full ON ddl_command_end WHEN TAG IN ('CREATE INDEX')
    EXECUTE FUNCTION is_full();
"""
"""As Postgres says it where the disk is full, after the rows and before the indexes."""

Replay = Callable[[Postgres], Awaitable[object]]
REPLAYS: dict[str, Replay] = {
    "rebuild": lambda postgres: rebuild(postgres, DOCUMENTED),
    "check": lambda postgres: check(postgres, DOCUMENTED),
    "into": lambda postgres: build_into(postgres, GROUPS, "back", 50),
}


@pytest.mark.parametrize("name", REPLAYS)
async def test_a_full_disk_is_said_and_nothing_half_is_left(followed: str, name: str) -> None:
    before = await rows_of(followed)
    await ask(followed, FULL)
    with pytest.raises(NoRoom, match="No space left on device"):
        await REPLAYS[name](Postgres(followed))
    assert await schemas(followed) == set()
    assert await rows_of(followed) == before
    await ask(followed, "DROP EVENT TRIGGER is_full")
    await REPLAYS[name](Postgres(followed))


@pytest.mark.parametrize("name", REPLAYS)
async def test_an_event_of_a_newer_release_is_named_and_never_guessed(
    followed: str, name: str
) -> None:
    before = await rows_of(followed)
    await ask(
        followed,
        "INSERT INTO ledger_events (originator_id, originator_version, topic, state, "
        "notification_id, actor, command, command_id, correlation_id, causation_id) "
        "SELECT 'client-1', 999, 'client.gilded', '{}', max(notification_id) + 1, "
        "'a', 'b', 'c', 'd', 'e' FROM ledger_events",
    )
    ((head,),) = await ask(followed, "SELECT max(notification_id) FROM ledger_events")

    async def back(postgres: Postgres) -> object:
        await build_into(postgres, GROUPS, "back", head)
        return None

    replays = {**REPLAYS, "into": back}
    with pytest.raises(RebuildStopped, match=rf"position {head} \(client\.gilded\)"):
        await replays[name](Postgres(followed))
    assert await schemas(followed) == set()
    assert await rows_of(followed) == before


@pytest.mark.parametrize("arguments", [("replay",), ("replay", "--check")])
async def test_killed_halfway_it_leaves_the_club_serving_and_the_next_clears_up(
    followed: str, settings: Settings, arguments: tuple[str, ...]
) -> None:
    before = await rows_of(followed)
    with rebuilding(followed, settings, *arguments) as process:
        async with stopped_halfway(followed) as waits:
            await until(waits, "it came to the tables in use")
            process.kill()
            process.wait(30)
    assert await schemas(followed) == {"club_rebuild_documented"}
    assert await rows_of(followed) == before

    async def again() -> object | None:
        try:
            return await check(Postgres(followed), DOCUMENTED)
        except RebuildRunning:
            return None  # Its connection is still being cleared away.

    await until(again, "the next may begin")
    assert await schemas(followed) == set()
    assert await rows_of(followed) == before


async def test_what_was_left_half_built_for_a_look_back_is_cleared_up_by_the_next(
    followed: str,
) -> None:
    await ask(followed, "CREATE SCHEMA club_rebuild_into; CREATE TABLE club_rebuild_into.users ()")
    await build_into(Postgres(followed), GROUPS, "back", 50)
    assert await schemas(followed) == {"back"}


async def test_what_somebody_killed_left_is_cleared_up_by_the_next_of_any_kind(
    followed: str,
) -> None:
    """But not what somebody is still building, who holds the lock of that name."""
    await ask(followed, "CREATE SCHEMA club_rebuild_documented; CREATE SCHEMA club_rebuild_other")
    async with connected(followed) as other:
        sql = "SELECT pg_advisory_lock(hashtextextended('club rebuild other', 0))"
        await other.execute(sql)
        await build_into(Postgres(followed), GROUPS, "back", 50)
        assert await schemas(followed) == {"back", "club_rebuild_other"}

    async def again() -> bool:
        await check(Postgres(followed), DOCUMENTED)
        return await schemas(followed) == {"back"}

    await until(again, "the connection of the other is cleared away")


@pytest.mark.parametrize("name", ["user", "order", "table", "select"])
async def test_a_schema_may_be_called_what_is_a_word_of_sql(
    followed: str, settings: Settings, name: str
) -> None:
    looking = ("replay", "documented", "--until", "50", "--into", name)
    for ends in (0, 1):
        with rebuilding(followed, settings, *looking) as process:
            _said, complaint = await asyncio.to_thread(process.communicate, timeout=120)
        assert process.returncode == ends, complaint
    assert await schemas(followed) == {name}
    assert f'DROP SCHEMA "{name}" CASCADE' in complaint
    assert "Traceback" not in complaint
    ((asked,),) = await ask(
        followed,
        "SELECT min(convert_from(state, 'UTF8')::json ->> 'asked') FROM ledger_events "
        "WHERE topic = 'audit-reading.made' AND actor = 'club'",
    )
    assert asked == f"club replay documented --until 50 --into {name}"


async def test_what_was_exchanged_is_told_where_the_next_cannot_be_and_a_check_says_it_cannot(
    followed: str, settings: Settings
) -> None:
    first, second = GROUPS[:2]
    await ask(followed, f"CREATE TABLE public.theirs (id int REFERENCES {second.tables[0].name})")
    await ask(followed, "INSERT INTO theirs SELECT 1 WHERE FALSE")
    with rebuilding(followed, settings, "replay") as process:
        said, complaint = await asyncio.to_thread(process.communicate, timeout=120)
    assert process.returncode == 1, complaint
    assert said.startswith(f"{first.name}: built from ")
    await ask(followed, "UPDATE read_groups SET definition = 'another'")
    with rebuilding(followed, settings, "replay", second.name, "--check") as process:
        said, complaint = await asyncio.to_thread(process.communicate, timeout=120)
    assert process.returncode == 2, complaint


async def test_no_answer_is_older_than_one_given_before_while_it_replays(
    club: Club, database: str
) -> None:
    await record(database, rich(300).events)
    await follow(database)
    added = await club.bus.execute(
        AddMembership(MembershipBody(price="0.50")), Context(THE_CLUB, "t")
    )
    load = Load(club, int((added.body or {})["id"]))
    async with asyncio.TaskGroup() as tasks:
        for work in (load.write, load.read, load.read):
            tasks.create_task(work())
        for _ in range(2):
            assert (await rebuild(club.postgres, DOCUMENTED)).differing == ()
            assert list((await check(club.postgres, DOCUMENTED)).differing) == []
        load.is_over = True
    assert load.written > 10
    assert load.answers > 20


@dataclass
class Load:
    """Somebody who changes a membership all the time, and others who look at it."""

    club: Club
    number: int
    written: int = 1
    answers: int = 0
    is_over: bool = False

    async def write(self) -> None:
        while not self.is_over:
            change: dict[str, str | None] = {"price": f"{self.written}.00"}
            command = ChangeMembership(self.number, change)
            outcome = await self.club.bus.execute(command, Context(THE_CLUB, "t"))
            assert outcome.visible
            self.written = outcome.version or 0

    async def read(self) -> None:
        seen = 0
        while not self.is_over:
            known = self.written
            row = await self.club.reads.one(View.MEMBERSHIPS, self.number)
            assert row is not None
            assert row.version >= max(seen, known)
            seen = row.version
            self.answers += 1


async def test_a_replay_in_a_process_of_its_own_refuses_nobody_who_reads_or_writes(
    club: Club, database: str, settings: Settings
) -> None:
    """Whatever it does, each request is answered while it goes on, and none with a fault."""
    await record(database, rich(1200).events)
    await follow(database)
    added = await club.bus.execute(
        AddMembership(MembershipBody(price="0.50")), Context(THE_CLUB, "t")
    )
    load = Load(club, int((added.body or {})["id"]))
    async with asyncio.TaskGroup() as tasks:
        for work in (load.write, load.read, load.read):
            tasks.create_task(work())
        with rebuilding(database, settings, "replay") as process:
            _said, complaint = await asyncio.to_thread(process.communicate, timeout=120)
        load.is_over = True
    assert process.returncode == 0, complaint
    assert load.written > 10
    assert load.answers > 20
