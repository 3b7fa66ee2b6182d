"""The live tail: every event once, in order, whatever is killed, missed or late."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from structlog.testing import capture_logs

from application.access import THE_CLUB
from application.command import Context
from application.memberships import AddMembership, MembershipBody
from domain.aggregate import Event
from domain.memberships import Membership
from infra.bootstrap import Club
from infra.following.follower import connected, database_said
from infra.following.projecting import Projecting, Projector
from infra.following.rebuilding import rebuild
from infra.following.watch import Watch
from infra.ledger.postgres import Connection, Postgres
from infra.ledger.schema import LOCK
from projections.catalogue import DOCUMENTED
from tests.projections.histories import START, History, every_row, insert, record, rich
from tests.waiting import until

NEVER = 3600.0
"""Seconds between polls in tests where something else has to wake the tail."""


async def ask(database: str, sql: str, *params: Any) -> list[tuple[Any, ...]]:
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        cursor = await connection.execute(sql.encode(), params or None)
        return await cursor.fetchall() if cursor.description else []


@asynccontextmanager
async def following(database: str) -> AsyncIterator[tuple[Projector, Watch]]:
    """A tail at work."""
    watch = Watch()
    postgres = Postgres(database)
    tail = Projector(postgres, DOCUMENTED, watch)
    task = asyncio.create_task(Projecting(postgres, (tail,)).run())
    try:
        yield tail, watch
    finally:
        task.cancel()
        await asyncio.wait([task])
    assert task.cancelled(), "it ends when it is told to, and never by itself"


async def assert_all_is_shown(database: str, events: Sequence[Event]) -> None:
    """Every event was projected once: the rows are those of a rebuild, and they are there."""
    found = await rebuild(Postgres(database), DOCUMENTED)
    assert (found.position, found.differing) == (len(events), ())
    async with await psycopg.AsyncConnection.connect(database) as connection:
        assert await every_row(connection) != []


async def backends(database: str, condition: str) -> list[int]:
    """The processes of Postgres that serve this database, in this condition."""
    sql = f"SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND {condition}"
    return [row[0] for row in await ask(database, sql)]


LISTENING = "query LIKE 'LISTEN%%' AND application_name = 'club'"
STUCK = "wait_event_type = 'Lock' AND application_name = 'club'"


async def test_a_batch_that_no_socket_takes_at_once_is_projected(database: str) -> None:
    facts = {"access_level": "STANDARD", "description": "x" * 20_000, "price": "49.90"}
    added = [Membership.add(number, facts, START) for number in range(1, 2001)]
    events = [cast("Event", event) for one in added for event in one.collect_events()]
    await record(database, events)
    async with following(database) as (_, watch):
        assert await watch.reached(len(events), 30)


# --- waking ------------------------------------------------------------------------------------


async def test_what_was_announced_is_shown_at_once(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.following.follower.POLL", NEVER)
    events = History.of([]).events
    async with following(database) as (_, watch):
        await until(lambda: backends(database, LISTENING), "it listens")
        await record(database, events)
        await ask(database, "SELECT pg_notify('ledger', %s)", str(len(events)))
        assert await watch.reached(len(events), 30)
    await assert_all_is_shown(database, events)


async def test_what_this_process_appended_needs_no_announcement(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.following.follower.POLL", NEVER)
    events = History.of([]).events
    async with following(database) as (tail, watch):
        await record(database, events)
        tail.wake(len(events))
        assert await watch.reached(len(events), 30)


async def test_a_missed_announcement_is_made_up_for_by_looking(database: str) -> None:
    events = History.of([]).events
    async with following(database) as (_, watch):
        await until(lambda: backends(database, LISTENING), "it listens")
        await record(database, events)
        assert await watch.reached(len(events), 30)
    await assert_all_is_shown(database, events)


async def test_a_lost_connection_to_listen_on_is_made_again(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.following.follower.POLL", NEVER)
    monkeypatch.setattr("infra.following.follower.RETRY", 0.01)
    events = History.of([]).events
    async with following(database) as (_, watch):
        (first,) = await until(lambda: backends(database, LISTENING), "it listens")
        await ask(database, "SELECT pg_terminate_backend(%s)", first)
        again = f"{LISTENING} AND pid <> {first}"
        await until(lambda: backends(database, again), "it listens again")
        await record(database, events)
        await ask(database, "SELECT pg_notify('ledger', %s)", str(len(events)))
        assert await watch.reached(len(events), 30)


@pytest.mark.parametrize("payload", ["", "nonsense", "-1", "9" * 30, "9" * 7000, "²"])
async def test_announcements_of_others_on_the_channel_are_harmless(
    database: str, payload: str
) -> None:
    events = History.of([]).events
    async with following(database) as (tail, watch):
        await until(lambda: backends(database, LISTENING), "it listens")
        await ask(database, "SELECT pg_notify('ledger', %s)", payload)
        await record(database, events)
        assert await watch.reached(len(events), 30)
        assert tail.follower.standstill is None


async def test_an_announcement_of_what_is_not_there_is_looked_for_once(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.following.follower.POLL", NEVER)
    looked = count_steps(monkeypatch)
    async with following(database) as (tail, _):
        tail.wake(10**12)
        await until(lambda: _true(bool(looked)), "it looked")
        for _again in range(50):
            await ask(database, "SELECT 1")
    assert len(looked) <= 2


def count_steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many events each look of a tail found, from here on."""
    looked: list[int] = []
    step = Projector.step

    async def counted(self: Projector, connection: Connection) -> int:
        looked.append(await step(self, connection))
        return looked[-1]

    monkeypatch.setattr(Projector, "step", counted)
    return looked


async def _true(value: bool) -> bool:
    return value


# --- order and batches -------------------------------------------------------------------------


async def test_a_backlog_of_many_batches_is_worked_off(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.following.follower.POLL", NEVER)
    monkeypatch.setattr("infra.following.projecting.BATCH", 50)
    events = rich(600).events
    assert len(events) > 500
    await record(database, events)
    async with following(database) as (_, watch):
        assert await watch.reached(len(events), 30)
    await assert_all_is_shown(database, events)


async def test_no_gap_is_ever_passed(
    club: Club, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer's transaction stays open while another wants to commit, and the tail looks."""
    looked = count_steps(monkeypatch)
    held = [e for e in History.of([]).events if e.TOPIC == "user.registered"][:2]
    async with await psycopg.AsyncConnection.connect(database) as slow:
        await slow.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        await insert(slow, held)
        command = AddMembership(MembershipBody(price="10"))
        adding = asyncio.create_task(club.bus.execute(command, Context(THE_CLUB, "test")))
        await until(
            lambda: backends(database, "wait_event = 'advisory' AND application_name = 'club'"),
            "the other writer waits",
        )
        before = len(looked)
        await until(lambda: _true(len(looked) > before + 1), "the tail looked, and again")
        assert club.watch.position == 0
        assert not adding.done()
        await slow.commit()
    outcome = await adding
    assert outcome.position == len(held) + 1
    assert outcome.visible
    shown = await ask(database, "SELECT count(*) FROM users")
    assert shown == [(len(held),)]


# --- exactly once ------------------------------------------------------------------------------


async def test_a_batch_whose_connection_is_cut_is_projected_once(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.following.follower.RETRY", 0.01)
    events = rich(300).events
    async with (
        following(database) as (tail, watch),
        await psycopg.AsyncConnection.connect(database, autocommit=True) as other,
    ):
        async with other.transaction():
            # Half of the batch is written by the time it comes to the payments.
            await other.execute("LOCK TABLE payments IN ACCESS EXCLUSIVE MODE")
            await record(database, events)
            (stuck,) = await until(lambda: backends(database, STUCK), "it is in mid-batch")
            await ask(database, "SELECT pg_terminate_backend(%s)", stuck)
            await until(lambda: _true(tail.follower.standstill is not None), "it noticed")
            assert watch.position == 0
        assert await watch.reached(len(events), 30)
        assert tail.follower.standstill is None
    await assert_all_is_shown(database, events)


async def test_two_tails_on_one_database_project_each_event_once(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.following.projecting.BATCH", 20)
    events = rich(600).events
    with capture_logs() as logs:
        async with following(database) as (one, first), following(database) as (other, second):
            for start in range(0, len(events), 100):
                part = events[start : start + 100]
                await record(database, part, head=start)
                one.wake(start + len(part))
                other.wake(start + len(part))
            assert await first.reached(len(events), 30)
            assert await second.reached(len(events), 30)
    assert [log["event"] for log in logs] == [], "what is projected twice breaks a key"
    await assert_all_is_shown(database, events)


# --- faults ------------------------------------------------------------------------------------


async def test_a_fault_is_said_and_what_was_held_up_comes_when_it_is_mended(
    club: Club, database: str
) -> None:
    await ask(database, "INSERT INTO memberships (id, price) VALUES (1, 0)")
    context = Context(THE_CLUB, "test")
    adding = asyncio.create_task(
        club.bus.execute(AddMembership(MembershipBody(price="10")), context)
    )

    async def said() -> dict[str, Any] | None:
        health = await club.health()
        return health.report if health.report["status"] == "degraded" else None

    report = await until(said, "its health says so")
    assert report["components"]["projector"]["status"] == "standing"
    assert "memberships_pkey" in report["components"]["projector"]["detail"]
    assert report["projectors"]["documented"]["lag"] == 1
    assert (await club.health()).able, "commands are taken all the same"
    outcome = await adding
    assert not outcome.visible

    await ask(database, "DELETE FROM memberships")
    assert await club.watch.reached(outcome.position, 30)

    async def well() -> bool:
        return bool((await club.health()).report["status"] == "running")

    await until(well, "its health says so")
    assert await ask(database, "SELECT price FROM memberships") != []


async def test_what_was_halved_and_others_took_is_not_looked_for_over_and_over(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.following.follower.POLL", NEVER)
    facts = {"access_level": "STANDARD", "description": None, "price": "49.90"}
    events = [
        cast("Event", event)
        for number in (1, 2)
        for event in Membership.add(number, facts, START).collect_events()
    ]
    await record(database, events)
    postgres = Postgres(database)
    halves, other = (Projector(postgres, DOCUMENTED, Watch()) for _ in range(2))
    async with connected(postgres) as connection:
        await ask(database, "INSERT INTO memberships (id, price) VALUES (1, 0)")
        assert await halves.step(connection) == 0, "it comes closer, event by event"
        await ask(database, "DELETE FROM memberships")
        assert await other.step(connection) == len(events)
    looked = count_steps(monkeypatch)
    following = asyncio.create_task(halves.run())
    await until(lambda: _true(bool(looked)), "it looked")
    for _ in range(50):
        await ask(database, "SELECT 1")
    following.cancel()
    await asyncio.wait([following])
    assert len(looked) == 1


async def test_a_database_that_is_not_there_yet_is_waited_for(
    server: str, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.following.follower.RETRY", 0.01)
    events = History.of([]).events
    await record(database, events)
    name = database.partition("dbname=")[2].partition(" ")[0]
    await ask(server, f"ALTER DATABASE {name} RENAME TO {name}_away")
    try:
        async with following(make_conninfo(server, dbname=name)) as (tail, watch):
            await until(lambda: _true(tail.follower.standstill is not None), "it noticed")
            await ask(server, f"ALTER DATABASE {name}_away RENAME TO {name}")
            assert await watch.reached(len(events), 30)
            assert tail.follower.standstill is None
    finally:
        away = await ask(server, "SELECT 1 FROM pg_database WHERE datname = %s", f"{name}_away")
        if away:
            await ask(server, f"ALTER DATABASE {name}_away RENAME TO {name}")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 'Ada Lovelace'::date",
        "SELECT 'Ada Lovelace'::integer",
        "SELECT 'Ada Lovelace'::json",
        "INSERT INTO numbers SELECT 'Ada Lovelace', 1",
    ],
)
async def test_why_a_database_refuses_something_is_said_without_what_was_in_it(
    database: str, sql: str
) -> None:
    async with await psycopg.AsyncConnection.connect(database) as connection:
        await connection.execute(
            "CREATE TEMPORARY TABLE numbers (who text, number integer CHECK (number > 1))"
        )
        with pytest.raises(psycopg.Error) as refused:
            await connection.execute(sql.encode())
    assert "Ada" not in database_said(refused.value)
    assert "Ada" in str(refused.value)
