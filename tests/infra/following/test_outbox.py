"""The outbox: what is still to go out, for the one relay that has it."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from application.exercises import AddExercise, ExerciseBody
from infra.bootstrap import Club
from infra.following.outbox import POLL, RELAY, Outbox, lag
from infra.ledger.postgres import Postgres
from tests.conftest import Rest
from tests.projections.histories import record, rich

PATIENCE = 20.0


async def positions(outbox: Outbox, most: int = 1000) -> list[int]:
    """The positions of what it gives."""
    return [recorded.position for recorded in await outbox.next(most)]


async def add_exercise(rest: Rest, title: str = "Squat") -> None:
    await rest.do(AddExercise(ExerciseBody(title=title)))


async def test_it_gives_the_events_in_order_and_the_same_until_they_are_confirmed(
    club: Club, database: str
) -> None:
    events = rich(50).events
    await record(database, events)
    async with Outbox.of(club.postgres, "a") as outbox:
        assert outbox.position == 0
        found = await outbox.next(1000)
        assert [one.position for one in found] == list(range(1, len(events) + 1))
        assert [one.event for one in found] == events
        assert await positions(outbox, 3) == [1, 2, 3]
        await outbox.confirmed(2)
        assert await positions(outbox, 3) == [3, 4, 5]


async def test_the_next_one_goes_on_where_it_is_confirmed(club: Club, database: str) -> None:
    await record(database, rich(50).events)
    async with Outbox.of(club.postgres, "a") as outbox:
        await outbox.confirmed(7)
    async with Outbox.of(club.postgres, "a") as outbox:
        assert outbox.position == 7
        assert await positions(outbox, 1) == [8]
    async with Outbox.of(club.postgres, "b") as outbox:
        assert outbox.position == 0


async def test_it_knows_what_an_event_belongs_to(rest: Rest, club: Club) -> None:
    await add_exercise(rest)
    async with Outbox.of(club.postgres, "a") as outbox:
        found = await outbox.next(10)
    assert {one.correlation_id for one in found} == {"scene"}
    assert all(one.causation_id for one in found)


async def test_it_waits_for_the_next_event_and_is_woken_by_it(rest: Rest, club: Club) -> None:
    await add_exercise(rest, "Squat")
    head = await club.ledger.head()
    async with Outbox.of(club.postgres, "a") as outbox:
        await outbox.confirmed(head)
        waiting = asyncio.create_task(positions(outbox))
        done, _ = await asyncio.wait({waiting}, timeout=3 * POLL)
        assert not done
        await add_exercise(rest, "Lunge")
        assert await asyncio.wait_for(waiting, PATIENCE) == list(
            range(head + 1, await club.ledger.head() + 1)
        )


async def test_events_that_nobody_tells_of_are_found_all_the_same(
    club: Club, database: str
) -> None:
    async with Outbox.of(club.postgres, "a") as outbox:
        waiting = asyncio.create_task(positions(outbox, 1))
        done, _ = await asyncio.wait({waiting}, timeout=POLL / 5)
        assert not done
        await record(database, rich(3).events)  # tells nobody
        assert await asyncio.wait_for(waiting, PATIENCE) == [1]


async def test_only_one_relay_has_it(club: Club, database: str) -> None:
    async def take() -> int:
        async with Outbox.of(club.postgres, "a") as outbox:
            return outbox.position

    async with Outbox.of(club.postgres, "a") as outbox:
        second = asyncio.create_task(take())
        await until_waiting(database)
        assert not second.done()
        await outbox.confirmed(5)
    assert await asyncio.wait_for(second, PATIENCE) == 5


async def test_relays_of_other_names_do_not_wait_for_each_other(club: Club) -> None:
    a, b = Outbox.of(club.postgres, "a"), Outbox.of(club.postgres, "b")
    async with asyncio.timeout(PATIENCE), a, b as other:
        assert other.position == 0


async def test_a_relay_whose_session_is_gone_has_it_no_longer(club: Club, database: str) -> None:
    await record(database, rich(10).events)
    async with Outbox.of(club.postgres, "a") as outbox:
        await outbox.confirmed(4)
        await end_session(database)
        async with asyncio.timeout(PATIENCE), Outbox.of(club.postgres, "a") as other:
            assert other.position == 4
        with pytest.raises(psycopg.OperationalError):
            await outbox.confirmed(9)
        with pytest.raises(psycopg.OperationalError):
            await outbox.next(1)


async def test_how_much_is_still_to_go_out(club: Club, database: str) -> None:
    postgres: Postgres = club.postgres
    assert await lag(postgres, RELAY) is None
    events = rich(10).events
    await record(database, events)
    async with Outbox.of(postgres, RELAY) as outbox:
        assert await lag(postgres, RELAY) == len(events)
        await outbox.confirmed(len(events) - 2)
        assert await lag(postgres, RELAY) == 2
        await outbox.confirmed(len(events))
        assert await lag(postgres, RELAY) == 0


# Relays that wait for their turn.
_WAITING = """
SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""

# What a network or a restart does to a relay that thinks itself well.
_END = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND query LIKE 'UPDATE relay_positions%'
"""


async def until_waiting(database: str) -> None:
    """Wait until another relay waits for its turn."""
    async with (
        asyncio.timeout(PATIENCE),
        await psycopg.AsyncConnection.connect(database, autocommit=True) as connection,
    ):
        while not await (await connection.execute(_WAITING)).fetchall():  # noqa: ASYNC110 - Postgres tells nobody
            await asyncio.sleep(0.02)


async def end_session(database: str) -> None:
    """End the session of the relay that has confirmed something."""
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        ended = await (await connection.execute(_END)).fetchall()
    assert ended == [(True,)]
