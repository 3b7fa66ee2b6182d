"""Whether the rows of a club in the chain are those that the club's own ledger gives.

What the chain has is put aside as it is at one position. Where the club's own tables are there,
too, they are compared; everything else is told from the ledger, projected up to that position as
for one club, without any of what puts rows into the chain. All of it is in temporary tables of the
chain's database, and the ledger is read a stretch at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import psycopg

from infra.chain.directory import Club
from infra.chain.ledgers import ClubLedger, LedgerFault, reading
from infra.chain.records import NOTHING
from infra.chain.store import ChainStore, InChain
from infra.faults import Fault
from infra.following.replaying import SHOWN, Difference, differences
from infra.ledger import feed
from infra.ledger.postgres import Connection, Postgres
from projections.engine.chained import of_one_club
from projections.engine.folding import Tripped
from projections.engine.model import Group
from projections.engine.schema import add_constraints, create_tables
from projections.engine.table import Table
from projections.engine.writing import project

OWN, LEDGER = "the club's own tables", "its ledger"
"""With what is compared."""

_CLUBS = """
SELECT number, name, ledger, url, secret FROM chain_clubs
WHERE cardinality(%(names)s::text[]) = 0 OR name = ANY(%(names)s) ORDER BY name
"""
_POSITION = """
SELECT p.position, p.digest, g.definition FROM chain_positions AS p
JOIN chain_groups AS g ON g.name = p.group_name AND g.generation = p.generation
WHERE (p.group_name, p.generation, p.club) = (%s, %s, %s)
"""
_ASIDE = """
CREATE TEMPORARY TABLE found_{table} ON COMMIT PRESERVE ROWS AS
SELECT * FROM {schema}.{table} WHERE club = {club}
"""
# All rows in one number, whatever their order; texts are the same in every database.
_SUM = "SELECT count(*), coalesce(sum(hashtextextended({row}::text, 0)), 0)::text FROM {table} AS t"
_OWN = "SELECT position, definition FROM read_groups WHERE name = %s"
_FIRST = """
SELECT ARRAY[{named}], to_jsonb(found) - 'club', to_jsonb(due)
FROM found_{table} AS found FULL JOIN pg_temp.{table} AS due USING ({keys})
WHERE (to_jsonb(found) - 'club')::text IS DISTINCT FROM to_jsonb(due)::text
ORDER BY {keys} LIMIT %s
"""


class NoSuchClub(Fault):
    """There is no club {name} in the chain."""


@dataclass(frozen=True, slots=True)
class Compared:
    """What a comparison found for one club and one group."""

    club: str
    group: str
    generation: int
    position: int
    beside: str = ""
    """With what it was compared."""
    unknown: str = ""
    """Why it could not be."""
    differing: Sequence[str] = ()
    """The tables that differ."""
    first: Sequence[Difference] = ()
    """Where; some of each."""


async def clubs_named(store: ChainStore, names: Sequence[str]) -> list[Club]:
    """These clubs of the chain, or all; raises NoSuchClub."""
    async with await store.connect(autocommit=True) as connection:
        cursor = await connection.execute(_CLUBS, {"names": list(names)})
        found = [Club(*row) for row in await cursor.fetchall()]
    for missing in set(names) - {club.name for club in found}:
        raise NoSuchClub(name=missing)
    return found


async def compare(store: ChainStore, group: InChain, club: Club) -> Compared:
    """Compare the club's rows in the tables of a group, at the position at which they are now."""
    settings = {"search_path": f"pg_temp,{group.schema},public", "statement_timeout": "0"}
    async with await store.postgres.connect(settings, autocommit=True) as connection:
        comparison = _Comparison(connection, group, club)
        try:
            return await comparison.made()
        except (LedgerFault, _Unknown) as why:
            return comparison.found(unknown=str(why))
        except (feed.Unreadable, Tripped) as stopped:
            return comparison.found(unknown=f"position {stopped.position}: {stopped.reason}")


class _Unknown(Exception):
    """It cannot be told whether the rows are right."""


class _Comparison:
    def __init__(self, connection: Connection, group: InChain, club: Club) -> None:
        self._connection = connection
        self._group = group
        self._club = club
        self._position = 0

    def found(self, **what: Any) -> Compared:
        """What is told of it."""
        group = self._group
        return Compared(self._club.name, group.name, group.generation, self._position, **what)

    async def made(self) -> Compared:
        """Put aside what there is, and compare it; raises LedgerFault or _Unknown."""
        known = await self._put_aside()
        async with reading(self._club.url) as ledger:
            await ledger.look(self._club.ledger)
            await ledger.agrees(self._position, known)
            if await self._is_as_the_clubs_own():
                return self.found(beside=OWN)
            plain = of_one_club(self._group.group)
            await self._project(plain, ledger)
        first = [one for table in plain.tables for one in await self._first(table, plain)]
        differing = list(dict.fromkeys(one.table for one in first))
        return self.found(beside=LEDGER, differing=differing, first=first)

    async def _put_aside(self) -> bytes:
        """Copy the club's rows, all as they are at one position; the digest of the event there."""
        group, club = self._group, self._club
        async with self._connection.transaction():
            await self._connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            key = (group.name, group.generation, club.number)
            row = await (await self._connection.execute(_POSITION, key)).fetchone()
            if row is None:
                raise _Unknown("nobody has begun with it")
            self._position, known, definition = row
            if definition != group.tables.definition:
                raise _Unknown("its tables were made by another release")
            for table in group.tables.tables:
                said = _ASIDE.format(table=table.name, schema=group.schema, club=club.number)
                await self._connection.execute(said.encode())
        return bytes(known)

    async def _is_as_the_clubs_own(self) -> bool:
        """Whether the club's own tables are at this position, and have these rows.

        Where they are not there, or are not alike, only the ledger tells what is right.
        """
        try:
            async with await Postgres(self._club.url).connect() as own, own.transaction():
                said = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"
                await own.execute(said)
                row = await (await own.execute(_OWN, [self._group.name])).fetchone()
                if row != (self._position, self._group.group.definition):
                    return False
                for table in self._group.group.tables:
                    due = await _sum(own, "to_jsonb(t)", table.name)
                    aside = f"found_{table.name}"
                    if due != await _sum(self._connection, "(to_jsonb(t) - 'club')", aside):
                        return False
        except psycopg.Error:
            return False
        return True

    async def _project(self, plain: Group, ledger: ClubLedger) -> None:
        """Make the tables of one club as they are at the position."""
        await create_tables(self._connection, plain.tables)
        await add_constraints(self._connection, plain)
        if not self._position:
            return
        async with aclosing(ledger.after(0, NOTHING, self._position)) as stretches:
            async for stretch in stretches:
                rows = stretch.rows_after(stretch.prev, self._position - stretch.prev)
                batch = feed.read(rows, stretch.prev, plain.kinds)
                async with self._connection.transaction():
                    await project(plain, batch.events, self._connection)
                if batch.position < min(stretch.last, self._position):
                    feed.read(rows[batch.position - stretch.prev :], batch.position, plain.kinds)

    async def _first(self, table: Table, plain: Group) -> list[Difference]:
        """The first rows of a table that differ."""
        await self._connection.execute(f"ANALYZE pg_temp.{table.name}, found_{table.name}".encode())
        said = _FIRST.format(
            named=", ".join(f"{name}::text" for name in table.key),
            keys=", ".join(table.key),
            table=table.name,
        )
        cursor = await self._connection.execute(said.encode(), [SHOWN])
        rows = await cursor.fetchall()
        return [one for key, *both in rows for one in differences(table, plain, key, both)]


async def _sum(connection: Connection, row: str, table: str) -> tuple[Any, ...] | None:
    cursor = await connection.execute(_SUM.format(row=row, table=table).encode())
    return await cursor.fetchone()
