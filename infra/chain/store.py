"""The chain's own Postgres: whether this release can work there, and the tables of its groups."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Self

import psycopg

from infra.chain.schema import STEPS
from infra.faults import Fault
from infra.ledger.postgres import Connection, Desks, Postgres
from infra.ledger.schema import SCHEMA_LOCK, advance, has_ledger
from projections.engine.chained import of_chain
from projections.engine.model import Group
from projections.engine.schema import add_constraints, create_tables, create_types

FROZEN = "3s"
"""How long a worker that is frozen keeps what it holds."""

_SHORT = {"lock_timeout": "2s", "statement_timeout": "5s"}

_OPEN = "SELECT max(number) FROM chain_schema"
_FIND = "SELECT definition FROM chain_groups WHERE (name, generation) = (%s, %s)"
_REGISTER = "INSERT INTO chain_groups (name, generation, definition) VALUES (%s, %s, %s)"


class ClubThere(Fault):
    """The database of CLUB_CHAIN_DATABASE_URL is that of a club: a chain has one of its own."""


class ChainMissing(Fault):
    """There is no chain in the database of CLUB_CHAIN_DATABASE_URL yet.

    `club stream`, or `club chain clubs add`, makes one.
    """


class ChainOlder(Fault):
    """The chain's tables are of an older release, at step {found} of {wanted}.

    `club stream` of this release brings them up to date.
    """


class SchemaThere(Fault):
    """The chain's database has a schema {name} of its own: give the chain a database of its own."""


@dataclass(frozen=True, eq=False)
class InChain:
    """A group of read models, and its tables for a whole chain."""

    group: Group
    """What events are folded with, as for one club."""
    tables: Group
    """What is made and written: the same tables, with the club."""

    @classmethod
    def of(cls, group: Group) -> Self:
        """The group in a chain."""
        return cls(group, of_chain(group))

    @property
    def name(self) -> str:
        """The group's name."""
        return self.group.name

    @property
    def generation(self) -> int:
        """The group's generation: each has tables of its own."""
        return self.group.generation

    @property
    def schema(self) -> str:
        """Where the tables are."""
        return f"{self.name}_{self.generation}"


class ChainStore:
    """The chain's Postgres, and the groups that this process has to do with."""

    def __init__(self, postgres: Postgres, groups: Sequence[Group]) -> None:
        self.postgres = postgres
        self.groups = tuple(map(InChain.of, groups))

    async def connect(
        self, group: InChain | None = None, *, autocommit: bool = False
    ) -> Connection:
        """A connection of one's own, to the tables of the chain and of one group."""
        return await self.postgres.connect(_settings(group), autocommit=autocommit)

    async def line(self, group: InChain | None = None, *, autocommit: bool = False) -> Connection:
        """The same, for what is computed: many clubs wait behind each statement.

        What it commits need not be on disk: what a crash takes away is projected again.
        """
        settings = {**_settings(group), **_SHORT}
        connection = await self.postgres.connect(settings, autocommit=True)
        try:
            await connection.execute("SET synchronous_commit = off")
            await connection.set_autocommit(autocommit)
        except BaseException:
            await connection.close()
            raise
        return connection

    async def make_tables(self) -> None:
        """Make the tables of groups that have none of this generation yet; they are empty.

        Tables that somebody else made for another definition stay as they are.
        """
        for group in self.groups:
            async with await self.connect(group) as connection, connection.transaction():
                await connection.execute("SET LOCAL client_min_messages = warning")
                await connection.execute("SELECT pg_advisory_xact_lock(%s)", [SCHEMA_LOCK])
                found = await connection.execute(_FIND, [group.name, group.generation])
                if await found.fetchone() is None:
                    await _make(connection, group)


def _settings(group: InChain | None) -> dict[str, str]:
    settings = {"idle_in_transaction_session_timeout": FROZEN}
    if group is not None:
        settings["search_path"] = f"{group.schema},public"
    return settings


async def _make(connection: Connection, group: InChain) -> None:
    try:
        await connection.execute(f"CREATE SCHEMA {group.schema}".encode())
    except psycopg.errors.DuplicateSchema:
        raise SchemaThere(name=group.schema) from None
    await create_types(connection, group.tables.types)
    await create_tables(connection, group.tables.tables)
    await add_constraints(connection, group.tables)
    definition = group.tables.definition
    await connection.execute(_REGISTER, [group.name, group.generation, definition])


@asynccontextmanager
async def open_chain(
    url: str, groups: Sequence[Group] = (), *, building: bool = False, desks: Desks | None = None
) -> AsyncIterator[ChainStore]:
    """The chain's Postgres; its connections are closed at the end.

    `building` makes and changes its tables, and those of the groups, where that is due. Raises
    ClubThere, and without `building` ChainMissing or ChainOlder.
    """
    async with Postgres(url, desks).open() as postgres:
        async with await postgres.connect(autocommit=True) as connection:
            if await has_ledger(connection):
                raise ClubThere
            if building:
                await advance(connection, STEPS, "chain_schema")
            await _look(connection)
        store = ChainStore(postgres, groups)
        if building:
            await store.make_tables()
        yield store


async def _look(connection: Connection) -> None:
    """See to it that this release can work there."""
    try:
        cursor = await connection.execute(_OPEN)
        row = await cursor.fetchone()
    except psycopg.errors.UndefinedTable:
        raise ChainMissing from None
    taken = 0 if row is None or row[0] is None else int(row[0])
    if taken < STEPS[-1].number:
        raise ChainOlder(found=taken, wanted=STEPS[-1].number)
