"""The relay: what is still to go out, for the one relay that has its turn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import psycopg
import pytest
from psycopg.errors import AdminShutdown

from application.exercises import AddExercise, ExerciseBody
from domain.recorded import Recorded
from infra.bootstrap import Club
from infra.following.follower import POLL
from infra.following.relaying import RELAY, UNCONFIRMED, Relay
from infra.ledger.postgres import Postgres
from tests.conftest import Rest
from tests.databases import relay_lag
from tests.projections.histories import record, rich
from tests.waiting import until

PATIENCE = 20.0


class Down(Exception):
    """What is published to is away."""


@dataclass
class World:
    """What a relay publishes to."""

    heard: list[Recorded] = field(default_factory=list)
    open: asyncio.Event = field(default_factory=asyncio.Event)
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    async def publish(self, events: Sequence[Recorded]) -> None:
        """Take these, while it is open."""
        self.asked.set()
        await self.open.wait()
        self.heard += events

    @property
    def positions(self) -> list[int]:
        """The positions of what was taken, as it came."""
        return [recorded.position for recorded in self.heard]


@pytest.fixture
def world() -> World:
    made = World()
    made.open.set()
    return made


@asynccontextmanager
async def connected(postgres: Postgres) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    async with await postgres.connect() as connection:
        yield connection


@asynccontextmanager
async def relaying(postgres: Postgres, world: World, name: str = "a") -> AsyncIterator[Relay]:
    """A relay at work."""
    relay = Relay(postgres, world.publish, name=name)
    task = asyncio.create_task(relay.run())
    try:
        yield relay
    finally:
        task.cancel()
        await asyncio.wait([task])
    assert task.cancelled(), "it ends when it is told to, and never by itself"


async def add_exercise(rest: Rest, title: str = "Squat") -> None:
    await rest.do(AddExercise(ExerciseBody(title=title)))


async def confirmed(postgres: Postgres, name: str = "a") -> int | None:
    rows = await postgres.rows("SELECT position FROM relay_positions WHERE name = %s", [name])
    return int(rows[0][0]) if rows else None


async def comes_to(postgres: Postgres, position: int, name: str = "a") -> None:
    async def there() -> bool:
        return await confirmed(postgres, name) == position

    await until(there, f"{position} is confirmed")


async def test_every_event_goes_out_in_order_with_all_that_is_known_of_it(
    club: Club, rest: Rest, world: World
) -> None:
    await add_exercise(rest)
    head = await club.ledger.head()
    async with relaying(club.postgres, world):
        await comes_to(club.postgres, head)
    assert world.positions == list(range(1, head + 1))
    assert {one.correlation_id for one in world.heard} == {"scene"}
    assert {(one.actor, one.command) for one in world.heard} == {("club", "add-exercise")}
    assert all(one.causation_id and one.command_id for one in world.heard)


async def test_what_is_not_confirmed_goes_out_again(
    club: Club, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.following.relaying.BATCH", 5)
    await record(database, rich(50).events)
    heard: list[int] = []

    async def fails_once(events: Sequence[Recorded]) -> None:
        heard.extend(one.position for one in events)
        if len(heard) == 10:
            raise Down

    relay = Relay(club.postgres, fails_once, name="a", passes_on=(Down,))
    with pytest.raises(Down):
        await relay.run()
    assert await confirmed(club.postgres) == 5
    async with connected(club.postgres) as connection:
        assert await relay.step(connection)
    assert heard == [*range(1, 11), *range(6, 11)]


async def test_it_goes_on_where_it_is_confirmed(club: Club, database: str, world: World) -> None:
    await record(database, rich(50).events)
    await club.postgres.rows("INSERT INTO relay_positions VALUES ('a', 7)")
    async with connected(club.postgres) as connection:
        assert await Relay(club.postgres, world.publish, name="a").step(connection)
        assert world.positions[0] == 8
        assert await Relay(club.postgres, world.publish, name="b").step(connection)
    assert world.positions.count(1) == 1


async def test_it_waits_for_the_next_event(rest: Rest, club: Club, world: World) -> None:
    await add_exercise(rest, "Squat")
    head = await club.ledger.head()
    async with relaying(club.postgres, world) as relay:
        await comes_to(club.postgres, head)
        heard = len(world.heard)
        await asyncio.sleep(2 * POLL)
        assert len(world.heard) == heard
        await add_exercise(rest, "Lunge")
        relay.follower.wake()
        await comes_to(club.postgres, await club.ledger.head())


async def test_of_several_relays_one_has_its_turn(club: Club, database: str, world: World) -> None:
    events = rich(50).events
    await record(database, events)
    world.open.clear()
    other = World()
    other.open.set()
    async with relaying(club.postgres, world), connected(club.postgres) as connection:
        await world.asked.wait()
        second = Relay(club.postgres, other.publish, name="a")
        assert not await second.step(connection), "the first has its turn"
        assert not other.asked.is_set()
        assert await Relay(club.postgres, other.publish, name="b").step(connection)
        world.open.set()
        await comes_to(club.postgres, len(events))
        assert not await second.step(connection), "and all is out"
    assert world.positions == list(range(1, len(events) + 1))


async def test_a_relay_of_a_release_before_keeps_its_turn_as_long_as_it_lives(
    club: Club, database: str, world: World
) -> None:
    """It holds the lock of a session, not of a transaction."""
    await record(database, rich(10).events)
    relay = Relay(club.postgres, world.publish, name="a")
    async with connected(club.postgres) as connection:
        async with await club.postgres.connect(autocommit=True) as older:
            await older.execute("SELECT pg_advisory_lock(hashtextextended('club relay a', 0))")
            assert not await relay.step(connection)
        assert await until(lambda: relay.step(connection), "its turn has come")


async def test_a_relay_whose_session_is_gone_confirms_nothing(
    club: Club, database: str, world: World
) -> None:
    events = rich(10).events
    await record(database, events)
    world.open.clear()
    relay = Relay(club.postgres, world.publish, name="a")
    async with await club.postgres.connect() as connection:
        step = asyncio.create_task(relay.step(connection))
        await world.asked.wait()
        pid = connection.info.backend_pid
        await club.postgres.rows("SELECT pg_terminate_backend(%s)", [pid])
        other = World()
        other.open.set()
        async with connected(club.postgres) as next_one:
            takes_over = Relay(club.postgres, other.publish, name="a")
            await until(lambda: takes_over.step(next_one), "another takes over")
        world.open.set()
        with pytest.raises(AdminShutdown):
            await step
    assert other.positions[0] == 1, "what was not confirmed goes out again"
    assert await confirmed(club.postgres) == len(events)


async def test_what_is_not_confirmed_in_its_turn_gives_the_turn_back_and_goes_out_once(
    club: Club, database: str, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.following.relaying.LONGEST_TURN", 0.1)
    events = rich(10).events
    await record(database, events)
    world.open.clear()
    async with relaying(club.postgres, world) as relay:
        await until(partial(stands, relay, UNCONFIRMED), "it says what it waits for")
        assert await club.postgres.rows(_IN_A_TRANSACTION) == []
        assert await club.postgres.rows(_TURN_IS_FREE) == [(True,)]
        world.open.set()
        await comes_to(club.postgres, len(events))
        await until(partial(stands, relay, None), "it goes on")
    assert world.positions == list(range(1, len(events) + 1))


async def test_what_another_relay_took_further_meanwhile_is_not_taken_back(
    club: Club, database: str, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.following.relaying.LONGEST_TURN", 0.1)
    monkeypatch.setattr("infra.following.relaying.BATCH", 5)
    await record(database, (events := rich(20).events))
    world.open.clear()
    other = World()
    other.open.set()
    async with relaying(club.postgres, world) as relay:
        await until(partial(stands, relay, UNCONFIRMED), "it waits")
        async with relaying(club.postgres, other):
            await comes_to(club.postgres, len(events))
        world.open.set()
        await until(partial(stands, relay, None), "it goes on")
    assert other.positions == list(range(1, len(events) + 1))
    assert world.positions == list(range(1, 6))
    assert await confirmed(club.postgres) == len(events)


async def stands(relay: Relay, why: str | None) -> bool:
    standstill = relay.follower.standstill
    return (None if standstill is None else standstill.reason) == why


_IN_A_TRANSACTION = """
SELECT query FROM pg_stat_activity
WHERE datname = current_database() AND state = 'idle in transaction'
"""
_TURN_IS_FREE = "SELECT pg_try_advisory_xact_lock(hashtextextended('club relay a', 0))"


async def test_how_much_is_still_to_go_out(club: Club, database: str, world: World) -> None:
    assert await relay_lag(club.postgres, RELAY) is None
    events = rich(10).events
    await record(database, events)
    await club.postgres.rows("INSERT INTO relay_positions VALUES (%s, 3)", [RELAY])
    assert await relay_lag(club.postgres, RELAY) == len(events) - 3
    async with relaying(club.postgres, world, RELAY):
        await comes_to(club.postgres, len(events), RELAY)
    assert await relay_lag(club.postgres, RELAY) == 0
