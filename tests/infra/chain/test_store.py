"""The chain's own Postgres: made once, by whoever comes first, and never in a club's."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from infra.bootstrap import open_club
from infra.chain.beginning import sharing
from infra.chain.intake import Intake
from infra.chain.kafka import Topic
from infra.chain.records import TOPIC
from infra.chain.schema import STEPS
from infra.chain.store import ChainMissing, ChainOlder, ClubThere, SchemaThere, open_chain
from infra.ledger.schema import ChainThere
from infra.settings import Settings
from interfaces.stream.main import Streaming
from interfaces.stream.worker import Kafka, Worker
from projections.catalogue import FIGURES, GROUPS
from tests.interfaces.stream.working import begin_anew

HELD = ("synchronous_commit", "lock_timeout", "statement_timeout")


async def ask(url: str, sql: str) -> list[tuple[Any, ...]]:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        cursor = await connection.execute(sql.encode())
        return await cursor.fetchall() if cursor.description else []


async def make(url: str) -> None:
    async with open_chain(url, GROUPS, building=True):
        pass


async def test_several_who_make_it_at_once_make_one(empty_database: str) -> None:
    with pytest.raises(ChainMissing):
        async with open_chain(empty_database, GROUPS):
            pass
    await asyncio.gather(*(make(empty_database) for _ in range(3)))
    assert await ask(empty_database, "SELECT name, generation FROM chain_groups ORDER BY 1") == [
        ("documented", 3),
        ("figures", 1),
    ]
    for group in GROUPS:
        found = await ask(
            empty_database,
            f"SELECT relname FROM pg_class WHERE relkind = 'r'"
            f" AND relnamespace = '{group.name}_{group.generation}'::regnamespace",
        )
        assert {name for (name,) in found} == {table.name for table in group.tables}
    assert await ask(empty_database, "SELECT count(*) FROM chain_schema") == [(len(STEPS),)]
    async with open_chain(empty_database, GROUPS) as store:
        assert [group.schema for group in store.groups] == ["documented_3", "figures_1"]


async def test_a_chain_and_a_club_keep_out_of_each_others_databases(
    database: str, empty_database: str, settings: Settings
) -> None:
    with pytest.raises(ClubThere):
        await make(database)
    await make(empty_database)
    for building in (False, True):
        there = settings.model_copy(update={"database_url": empty_database})
        with pytest.raises(ChainThere):
            async with open_club(there, building=building):
                pass
    assert await ask(empty_database, "SELECT to_regclass('ledger_events')") == [(None,)]


async def test_tables_of_somebody_else_stay_as_they_are(empty_database: str) -> None:
    await make(empty_database)
    other = replace(FIGURES, models=FIGURES.models[:1])
    async with open_chain(empty_database, [other], building=True):
        found = await ask(
            empty_database, "SELECT definition FROM chain_groups WHERE name = 'figures'"
        )
        assert found != [(other.definition,)]
    await ask(empty_database, "CREATE SCHEMA figures_2")
    with pytest.raises(SchemaThere):
        async with open_chain(empty_database, [replace(FIGURES, generation=2)], building=True):
            pass


async def test_an_older_chain_is_left_to_who_may_change_it(empty_database: str) -> None:
    await make(empty_database)
    await ask(empty_database, f"DELETE FROM chain_schema WHERE number = {STEPS[-1].number}")
    with pytest.raises(ChainOlder):
        async with open_chain(empty_database):
            pass


async def test_what_a_person_changes_is_on_disk_and_what_is_computed_holds_up_nobody(
    empty_database: str,
) -> None:
    async with open_chain(empty_database, [FIGURES], building=True) as store:
        (figures,) = store.groups
        for connecting, due in (
            (store.connect(autocommit=True), ["on", "30s", "1min"]),
            (store.line(figures, autocommit=True), ["off", "2s", "5s"]),
        ):
            async with await connecting as connection:
                for name, value in zip(HELD, due, strict=True):
                    cursor = await connection.execute(f"SHOW {name}".encode())
                    assert await cursor.fetchone() == (value,)


async def test_who_calls_other_tables_the_same_shares_nothing_and_says_that_it_stands_aside(
    empty_database: str,
) -> None:
    other = replace(FIGURES, models=FIGURES.models[:2])
    async with (
        open_chain(empty_database, [FIGURES], building=True) as first,
        open_chain(empty_database, [other], building=True) as second,
    ):
        assert await sharing(first) != await sharing(second)
        for store, stands_aside in ((first, False), (second, True)):
            intake = Intake(store)
            kafka, topic = (
                Kafka("127.0.0.1:1", TOPIC, "group"),
                Topic(Settings(kafka_url="kafka://127.0.0.1:1")),
            )
            streaming = Streaming(Worker(kafka, begin_anew), intake, topic)
            await intake.take([])
            why = streaming.standstill
            assert (why is not None and why.aside) is stands_aside
            await intake.close()
