"""Building all read tables again: the same rows, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from application.access import THE_CLUB
from application.command import Context
from application.memberships import AddMembership, ChangeMembership, MembershipBody
from application.ports.queries import View
from infra.bootstrap import Club, open_club
from infra.following import exchange
from infra.following.belongings import CannotBeCarried
from infra.following.exchange import NamesTaken, TablesBusy
from infra.following.projecting import Projector, TablesOlder
from infra.following.rebuilding import RebuildRunning, Rebuilt, build_forward, rebuild
from infra.following.watch import Watch
from infra.ledger.postgres import Postgres
from infra.settings import Settings
from projections.catalogue import DOCUMENTED
from tests.projections.histories import every_row, record, rich
from tests.waiting import until

BESIDE = "SELECT 1 FROM pg_namespace WHERE nspname = 'club_rebuild_documented'"
CHECKOUT = Path(__file__).parents[3]


@asynccontextmanager
async def connected(database: str) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    async with await psycopg.AsyncConnection.connect(
        database, autocommit=True, options="-c timezone=UTC"
    ) as connection:
        yield connection


async def ask(database: str, sql: str, *params: Any) -> list[tuple[Any, ...]]:
    async with connected(database) as connection:
        cursor = await connection.execute(sql.encode(), params or None)
        return await cursor.fetchall() if cursor.description else []


async def rows_of(database: str) -> list[tuple[str, str]]:
    async with connected(database) as connection:
        return await every_row(connection)


async def follow(database: str) -> None:
    """Project all that is in the ledger, as the tail does."""
    postgres = Postgres(database)
    async with await postgres.connect() as connection:
        while await Projector(postgres, DOCUMENTED, Watch()).step(connection):
            pass


async def rebuilt(database: str) -> Rebuilt:
    return await rebuild(Postgres(database), DOCUMENTED)


@pytest.fixture
async def followed(database: str) -> str:
    """A database with a rich history, which the tables show."""
    await record(database, rich(1200).events)
    await follow(database)
    return database


def environment(database: str, settings: Settings) -> dict[str, str]:
    outside = {k: v for k, v in os.environ.items() if not k.startswith("CLUB_")}
    return outside | {"CLUB_DATABASE_URL": database, "CLUB_HOME": str(settings.home)}


@contextmanager
def rebuilding(database: str, settings: Settings, *command: str) -> Iterator[subprocess.Popen[str]]:
    """`club replay`, or another command, in a process of its own."""
    with subprocess.Popen(
        [Path(sys.executable).with_name("club"), *(command or ("replay",))],
        cwd=CHECKOUT,
        env=environment(database, settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@asynccontextmanager
async def stopped_halfway(database: str) -> AsyncIterator[Callable[[], Awaitable[bool]]]:
    """Lets a rebuild come to the comparison with the tables in use, and no further.

    Yields whether one waits there.
    """

    async def waits() -> bool:
        found = await ask(
            database, "SELECT 1 FROM pg_locks WHERE relation = 'users'::regclass AND NOT granted"
        )
        return bool(found)

    async with connected(database) as connection, connection.transaction():
        await connection.execute("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
        yield waits


# --- the same rows -----------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [37, 10_000])
async def test_a_rebuild_gives_the_rows_that_the_tail_gave(
    followed: str, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In many small batches, and in one huge one, where reports still show their moment."""
    monkeypatch.setattr("infra.following.builder.BATCH", batch)
    before = await rows_of(followed)
    ((events,),) = await ask(followed, "SELECT count(*) FROM ledger_events")
    assert await ask(followed, "SELECT 1 FROM simple_report") != []

    done = await rebuilt(followed)
    assert done == Rebuilt(events, events, ())
    assert await rows_of(followed) == before


async def test_the_command_line_says_what_it_did(followed: str, settings: Settings) -> None:
    before = await rows_of(followed)
    await ask(followed, "UPDATE users SET email = 'bent@example.com' WHERE id = 2")
    await ask(followed, "DELETE FROM payments WHERE id = (SELECT max(id) FROM payments)")
    tampered = await rows_of(followed)
    assert tampered != before

    # By its other name, too.
    with rebuilding(followed, settings, "projections", "rebuild") as process:
        said, _ = process.communicate(timeout=60)
    ((head,),) = await ask(followed, "SELECT max(notification_id) FROM ledger_events")
    assert process.returncode == 0
    assert said.splitlines() == [
        f"documented: built from {head} events, up to position {head}.",
        "  users was not what the ledger says; now it is.",
        "  payments was not what the ledger says; now it is.",
        "  payment_accounts was not what the ledger says; now it is.",
        f"figures: built from {head} events, up to position {head}.",
    ]
    assert await rows_of(followed) == before


@pytest.mark.parametrize(
    ("tampering", "table"),
    [
        ("UPDATE clients SET first_name = first_name || '!'", "clients"),
        ("INSERT INTO memberships (id, price) VALUES (999, 0)", "memberships"),
        ("UPDATE aggregate_versions SET version = 99 WHERE aggregate_id = 'user-1'", None),
        ("DELETE FROM training_plan_trainings", "training_plan_trainings"),
        ("DROP TABLE payments CASCADE", "payments"),
        ("ALTER TABLE exercises DROP COLUMN description", "exercises"),
    ],
)
async def test_what_was_tampered_with_is_found_and_put_right(
    followed: str, tampering: str, table: str | None
) -> None:
    before = await rows_of(followed)
    await ask(followed, tampering)
    done = await rebuilt(followed)
    assert done.differing == (table or "aggregate_versions",)
    assert await rows_of(followed) == before


async def test_a_rebuild_of_an_empty_ledger_gives_empty_tables(database: str) -> None:
    assert await rebuilt(database) == Rebuilt(0, 0, ())
    assert await rows_of(database) == []


# --- meanwhile ---------------------------------------------------------------------------------


async def test_no_command_is_lost_or_doubled_or_unseen_during_rebuilds(
    club: Club, database: str
) -> None:
    await record(database, rich(300).events)
    await follow(database)
    done = asyncio.Event()
    prices: dict[int, str] = {}

    async def keep_writing(worker: int) -> None:
        while not done.is_set():
            number, price = await _write_and_read(club, f"{worker}.{len(prices) % 100:02}")
            prices[number] = price

    async with asyncio.TaskGroup() as tasks:
        for worker in range(4):
            tasks.create_task(keep_writing(worker))
        for _ in range(3):
            assert (await rebuild(club.postgres, DOCUMENTED)).differing == ()
        done.set()

    assert len(prices) > 20
    numbers = list(prices)
    found_prices = await ask(
        database, "SELECT id, price::text FROM memberships WHERE id = ANY(%s)", numbers
    )
    assert dict(found_prices) == prices
    before = await rows_of(database)
    assert (await rebuilt(database)).differing == ()
    assert await rows_of(database) == before


async def _write_and_read(club: Club, price: str) -> tuple[int, str]:
    """Two commands about a new membership, each of which is to be seen at once."""
    context = Context(THE_CLUB, "test")
    added = await club.bus.execute(AddMembership(MembershipBody(price=price)), context)
    assert added.body is not None
    number = int(added.body["id"])
    change: dict[str, str | None] = {"description": f"at {price}"}
    changed = await club.bus.execute(ChangeMembership(number, change), context)
    assert added.visible
    assert changed.visible
    shown = await club.reads.one(View.MEMBERSHIPS, number)
    assert shown is not None, "who writes reads it"
    assert shown.version == 2
    assert f"at {price}".encode() in shown.body
    return number, price


async def test_a_rebuild_killed_halfway_changes_nothing_and_can_be_run_again(
    followed: str, settings: Settings
) -> None:
    before = await rows_of(followed)
    with rebuilding(followed, settings) as process:
        async with stopped_halfway(followed) as waits:
            await until(waits, "the rebuild came to the tables in use")
            process.kill()
            process.wait(30)
    assert await ask(
        followed, "SELECT 1 FROM pg_namespace WHERE nspname = 'club_rebuild_documented'"
    )
    assert await rows_of(followed) == before

    async def again() -> Rebuilt | None:
        try:
            return await rebuilt(followed)
        except RebuildRunning:
            return None  # Its connection is still being cleared away.

    done = await until(again, "the next rebuild may begin")
    assert done.differing == ()
    assert await rows_of(followed) == before
    assert not await ask(
        followed, "SELECT 1 FROM pg_namespace WHERE nspname = 'club_rebuild_documented'"
    )


async def test_only_one_rebuilds_at_a_time(followed: str, settings: Settings) -> None:
    async with asyncio.TaskGroup() as tasks, stopped_halfway(followed) as waits:
        first = tasks.create_task(rebuilt(followed))
        await until(waits, "the first rebuild came to the tables in use")
        with pytest.raises(RebuildRunning):
            await rebuilt(followed)
        with rebuilding(followed, settings) as second:
            said, complaint = await asyncio.to_thread(second.communicate, timeout=60)
        assert (second.returncode, said) == (1, "")
        assert complaint.endswith("Another process is rebuilding the read tables.\n")
        assert "Traceback" not in complaint
    assert first.result().differing == ()


async def test_a_rebuild_waits_for_a_long_query_without_holding_up_others(
    followed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lock that waits has everybody wait who comes after it: so it waits shortly, and again."""
    tries = 0
    swap = exchange._swap

    async def counted(*args: Any) -> None:
        nonlocal tries
        tries += 1
        await swap(*args)

    monkeypatch.setattr(exchange, "_swap", counted)
    before = await rows_of(followed)
    waits: list[float] = []
    async with connected(followed) as slow, connected(followed) as quick:
        async with slow.transaction():
            await slow.execute("SELECT 1 FROM users")
            running = asyncio.create_task(rebuilt(followed))
            while tries <= 5 and not running.done():
                began = time.monotonic()
                await quick.execute("SELECT 1 FROM users")
                waits.append(time.monotonic() - began)
                await asyncio.sleep(0)
            assert not running.done()
        assert (await running).differing == ()
    assert max(waits) < 0.5, "some ten times what the lock may wait, on a busy machine"
    assert await rows_of(followed) == before


async def test_a_rebuild_that_is_never_let_in_gives_up(
    followed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.following.exchange.MOST_EXCHANGES", 1)
    before = await rows_of(followed)
    async with connected(followed) as reader, reader.transaction():
        await reader.execute("SELECT 1 FROM users")
        with pytest.raises(TablesBusy):
            await rebuilt(followed)
    assert await rows_of(followed) == before


async def test_memory_does_not_grow_with_the_ledger(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.following.builder.BATCH", 200)

    async def peak() -> int:
        tracemalloc.start()
        try:
            await rebuilt(database)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    events = rich(6000).events
    some = len(events) // 8
    await record(database, events[:some])
    await peak()  # What is made once is there from now on.
    small = await peak()
    await record(database, events[some:], head=some)
    large = await peak()
    assert large < small * 1.5, (small, large)


# --- a changed definition ----------------------------------------------------------------------


NEWER = replace(DOCUMENTED, generation=DOCUMENTED.generation + 1)
"""The documented tables as the next release has them."""


async def test_tables_of_an_older_generation_are_built_again(followed: str) -> None:
    before = await rows_of(followed)
    await ask(followed, "UPDATE users SET email = 'by another projector' WHERE id = 1")
    await build_forward(Postgres(followed), DOCUMENTED)
    assert await rows_of(followed) != before, "nothing has changed: nothing is built again"
    await build_forward(Postgres(followed), NEWER)
    assert await rows_of(followed) == before


async def test_of_two_that_start_at_once_one_builds_and_the_other_waits(followed: str) -> None:
    before = await rows_of(followed)
    built = await asyncio.gather(
        *(build_forward(Postgres(followed), NEWER) for _ in range(3)), return_exceptions=True
    )
    assert {type(one) for one in built} <= {type(None), TablesOlder}
    assert None in built
    assert await rows_of(followed) == before


async def test_all_who_start_at_once_on_an_empty_database_find_the_tables(
    empty_database: str, settings: Settings
) -> None:
    fresh = settings.model_copy(update={"database_url": empty_database})

    async def opened() -> None:
        async with open_club(fresh, building=True):
            assert await ask(empty_database, "SELECT FROM users") == []

    await asyncio.gather(*(opened() for _ in range(3)))


# --- what is not ours --------------------------------------------------------------------------

FOREIGN = """
CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE TABLE invoices (id serial PRIMARY KEY, mood mood, what text);
INSERT INTO invoices (mood, what) VALUES ('good', 'towels'), ('bad', 'soap');
CREATE INDEX ON invoices (what);
CREATE VIEW soap AS SELECT * FROM invoices WHERE what = 'soap';
CREATE SCHEMA shop;
CREATE TABLE shop.users (id integer PRIMARY KEY, name text);
INSERT INTO shop.users VALUES (1, 'somebody else');
"""
THEIRS = """
SELECT c.oid, c.oid::regclass::text, c.relkind, c.relfilenode, s.n_tup_ins, s.n_tup_upd,
       s.n_tup_del, s.last_analyze, pg_get_viewdef(c.oid)
FROM pg_class AS c LEFT JOIN pg_stat_user_tables AS s ON s.relid = c.oid
WHERE c.relname LIKE 'invoices%%' OR c.relname = 'soap' OR c.relnamespace = 'shop'::regnamespace
ORDER BY c.oid
"""


async def test_tables_that_are_not_the_clubs_are_never_touched(
    followed: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ask(followed, FOREIGN)
    async with connected(followed) as connection:
        await connection.execute("SELECT pg_stat_force_next_flush()")
        await connection.execute("SELECT 1")
    before = await ask(followed, THEIRS)
    assert len(before) > 6

    await rebuilt(followed)
    await build_forward(Postgres(followed), NEWER)
    assert await ask(followed, THEIRS) == before
    assert await ask(followed, "SELECT what FROM soap") == [("soap",)]
    assert await ask(followed, "SELECT name FROM shop.users") == [("somebody else",)]


@pytest.mark.parametrize(
    ("foreign", "names"),
    [
        ("CREATE TABLE users (name text)", "users"),
        ("CREATE TYPE gender AS ENUM ('m', 'f')", "gender"),
        ("CREATE VIEW payments AS SELECT 1 AS one; CREATE TABLE clients ()", "clients, payments"),
    ],
)
async def test_a_database_with_tables_of_the_same_names_is_left_as_it_is(
    empty_database: str, settings: Settings, foreign: str, names: str
) -> None:
    await ask(empty_database, foreign)
    with pytest.raises(NamesTaken, match=f"its own {names}:"):
        async with open_club(
            settings.model_copy(update={"database_url": empty_database}), building=True
        ):
            pytest.fail("these tables are somebody else's")
    found = await ask(
        empty_database, "SELECT to_regclass('exercises'), to_regtype('client_status')"
    )
    assert found == [(None, None)]
    labels = await ask(empty_database, "SELECT enumlabel FROM pg_enum ORDER BY 1")
    assert labels in ([], [("f",), ("m",)])


@pytest.mark.parametrize(
    "foreign",
    [
        "CREATE VIEW their_users AS SELECT username FROM users",
        "CREATE TABLE notes (user_id integer REFERENCES users)",
    ],
)
async def test_what_others_built_on_the_read_tables_is_not_torn_down(
    followed: str, foreign: str
) -> None:
    before = await rows_of(followed)
    await ask(followed, foreign)
    with pytest.raises(CannotBeCarried, match=r"their_users|notes"):
        await rebuilt(followed)
    assert await rows_of(followed) == before
    await ask(followed, "DROP VIEW IF EXISTS their_users; DROP TABLE IF EXISTS notes")
    assert (await rebuilt(followed)).differing == ()
