"""The tables of a chain: what each club's own tables hold, with the club in front of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from itertools import zip_longest

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings

from domain.aggregate import Event
from projections.catalogue import DOCUMENTED, FIGURES, GROUPS
from projections.engine.chained import CLUB, chained, in_chain, of_chain
from projections.engine.folding import Changes, fold_batch
from projections.engine.model import Group
from projections.engine.schema import add_constraints, create_tables, create_types
from projections.engine.table import Put, Table
from projections.engine.writing import load_of_club, project, write
from projections.memberships import MEMBERSHIPS
from projections.users import USERS
from tests.projections.histories import (
    Choice,
    History,
    as_recorded,
    batches,
    rich,
    shown_by_aggregates,
)
from tests.projections.test_projectors import Connection, choices, sizes, undone

CHAIN = "chain_of_the_test"
IN_CHAIN = f"SET LOCAL search_path = {CHAIN}, public"
BY_ITSELF = "SET LOCAL search_path = public"
COLUMNS = """
SELECT n.nspname, array_agg(a.attname || ' ' || format_type(atttypid, atttypmod) ORDER BY attnum)
FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = attrelid
JOIN pg_namespace AS n ON n.oid = relnamespace
WHERE relname = %s AND attnum > 0 AND nspname IN ('public', %s) GROUP BY 1
"""
TAKEN_TOGETHER = ("SET CONSTRAINTS ALL IMMEDIATE", "SET CONSTRAINTS ALL DEFERRED")


async def make(connection: Connection) -> None:
    """The tables of a chain, in this transaction."""
    await connection.execute(f"CREATE SCHEMA {CHAIN}".encode())
    await connection.execute(IN_CHAIN.encode())
    for group in map(of_chain, GROUPS):
        await create_types(connection, group.types)
        await create_tables(connection, group.tables)
        await add_constraints(connection, group)


async def take_in(connection: Connection, club: int, events: Sequence[Event], head: int) -> None:
    """Project a part of a club's history into the tables of the chain."""
    recorded = as_recorded(events, head)
    for group in GROUPS:
        known = await load_of_club(group, recorded, connection, club)
        steps = fold_batch(group, recorded, known)
        await write(of_chain(group), [in_chain(step, club) for step in steps], connection)
    for statement in TAKEN_TOGETHER:
        await connection.execute(statement.encode())


async def rows(connection: Connection, where: str, table: Table) -> list[str]:
    """All rows of a table as text, without the club."""
    found = await connection.execute(
        f"SELECT (to_jsonb(t) - '{CLUB}')::text FROM {table.name} AS t {where} ORDER BY 1".encode()
    )
    return [row for (row,) in await found.fetchall()]


async def by_itself(database: str, group: Group, events: Sequence[Event]) -> dict[str, list[str]]:
    """What a club's own tables have."""
    async with undone(database) as connection:
        await project(group, as_recorded(events), connection)
        return {table.name: await rows(connection, "", table) for table in group.tables}


async def together(
    database: str, clubs: Iterable[Iterable[Sequence[Event]]]
) -> list[dict[str, list[str]]]:
    """What the tables of a chain have of each club, which come in turns."""
    histories = [list(club) for club in clubs]
    heads = [0] * len(histories)
    async with undone(database) as connection:
        await make(connection)
        for parts in zip_longest(*histories, fillvalue=()):
            for club, part in enumerate(parts):
                await take_in(connection, club, part, heads[club])
                heads[club] += len(part)
        return [
            {
                table.name: await rows(connection, f"WHERE {CLUB} = {club}", table)
                for group in GROUPS
                for table in group.tables
            }
            for club in range(len(histories))
        ]


def compare(database: str, clubs: Sequence[Sequence[Event]], sizes: Sequence[int]) -> None:
    async def both() -> None:
        found = await together(database, [batches(events, sizes) for events in clubs])
        for in_it, events in zip(found, clubs, strict=True):
            alone: dict[str, list[str]] = {}
            for group in GROUPS:
                alone |= await by_itself(database, group, events)
            assert in_it == alone

    asyncio.run(both())


def test_every_table_of_a_club_can_be_one_of_a_chain(database: str) -> None:
    """With the same columns after the club's number, and the club in front of every key."""

    async def made() -> None:
        async with undone(database) as connection:
            await make(connection)
            for table in (table for group in GROUPS for table in group.tables):
                found = await connection.execute(COLUMNS, [table.name, CHAIN])
                columns = dict(await found.fetchall())
                assert columns[CHAIN] == ["club integer", *columns["public"]], table.name
            found = await connection.execute(
                "SELECT conname FROM pg_constraint WHERE connamespace = to_regnamespace(%s)"
                " AND contype IN ('p', 'u', 'f') AND conkey[1] <> 1",
                [CHAIN],
            )
            assert await found.fetchall() == []
            found = await connection.execute(
                "SELECT count(*) FROM pg_constraint WHERE connamespace = to_regnamespace(%s)"
                " AND contype IN ('u', 'f')",
                [CHAIN],
            )
            own = sum(len(table.constraints) for group in GROUPS for table in group.tables)
            assert await found.fetchone() == (own,)

    asyncio.run(made())


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(choices, choices, sizes)
def test_any_two_clubs_have_the_rows_in_the_chain_that_each_has_by_itself(
    database: str, one: list[Choice], other: list[Choice], sizes: list[int]
) -> None:
    compare(database, [History.of(one).events, History.of(other).events], sizes)


def test_two_rich_clubs_have_the_rows_in_the_chain_that_each_has_by_itself(database: str) -> None:
    clubs = [rich(900).events, rich(900, seed=11).events]
    compare(database, clubs, [7, 150, 1, 400])
    shown = shown_by_aggregates(rich(900))
    assert shown["reports"], "rows are gathered"
    assert any("rules" in event.TOPIC for event in clubs[0]), "constraints are switched"


async def test_what_one_club_may_not_have_twice_another_may_have_too(database: str) -> None:
    row = {"id": 1, "username": "ana", "password_hash": "", "email": "ana@example.com"}
    async with undone(database) as connection:
        await make(connection)
        for club in (1, 2):
            await write(
                of_chain(DOCUMENTED), [in_chain(Changes(Put(USERS, row)), club)], connection
            )
        again = in_chain(Changes(Put(USERS, {**row, "id": 2})), 1)
        await write(of_chain(DOCUMENTED), [again], connection)
        with pytest.raises(psycopg.errors.UniqueViolation):
            await connection.execute(TAKEN_TOGETHER[0])


async def test_a_row_stays_its_clubs_when_what_it_refers_to_goes(database: str) -> None:
    """The default that a reference falls back to is that of the column, never of the club."""
    opening = History.of([]).events
    async with undone(database) as connection:
        await make(connection)
        await take_in(connection, 1, opening, 0)
        await connection.execute("ALTER TABLE clients ALTER membership_id SET DEFAULT 2")
        await connection.execute(f"DELETE FROM {MEMBERSHIPS.name} WHERE id = 1")
        found = await connection.execute("SELECT club, membership_id FROM clients WHERE id = 1")
        assert await found.fetchone() == (1, 2)


def test_a_constraint_that_nobody_thought_of_for_a_chain_is_refused() -> None:
    table = Table("t", ("id",), "id integer NOT NULL", constraints=("EXCLUDE (id WITH =)",))
    with pytest.raises(ValueError, match="EXCLUDE"):
        chained(table)


def test_figures_of_a_chain_are_of_another_definition() -> None:
    assert of_chain(FIGURES).definition != FIGURES.definition
