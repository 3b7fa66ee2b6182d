"""What a database administrator hung on the read tables, and how it comes along to new ones.

Grants, comments, indexes, constraints, defaults, policies, publications, triggers, statistics and
storage settings are carried over. What cannot be (a column of their own, a rule, a view, a foreign
key, whatever else builds on the tables) is named before anything is exchanged, and refused.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from enum import StrEnum
from importlib.resources import files
from typing import Any, NamedTuple

import psycopg

from infra.faults import Fault
from infra.following.follower import database_said
from infra.following.tables import InUse, Made
from projections.engine.table import Table

Connection = psycopg.AsyncConnection[Any]


class CannotBeCarried(Fault):
    """What is on the read tables cannot all be carried over to new ones: {names}.

    Nothing was exchanged. Take these away, and put them back afterwards.
    """


class ChangedMeanwhile(Fault):
    """What is on the read tables was changed while new ones were built: {names}.

    Nothing was exchanged. Build them again.
    """


class Moment(StrEnum):
    """When something is hung on the new tables."""

    EMPTY = "empty"
    """Before rows come: how they are stored."""
    FULL = "full"
    """When rows are there, and the old tables still in use: what takes a while."""
    IN_USE = "in use"
    """When the new tables are in the place of the old."""


_MADE_BY_0_1_0: Made = {
    "client_admissions": ["NOT NULL of until", "constraint client_admissions_until_not_null"],
}
"""What release 0.1.0 made, which kept no list, and no release after it does."""


class Belonging(NamedTuple):
    """One thing that hangs on a table."""

    table: str
    what: str
    """For people: `index payments_by_day`."""
    moment: str
    statement: str | None
    """What makes it on the new table; None for what cannot be carried."""


class Belongings:
    """All that hangs on the tables in use, and how much of it is on the new ones."""

    def __init__(
        self, in_use: InUse | None, tables: Sequence[Table], beside: str, made: Made
    ) -> None:
        """The new `tables` grow in the schema `beside`; `made` is what the club made on them.

        Of tables in use whose release kept no list, what bears the names of today is the club's,
        and what only that release made.
        """
        noted = in_use.made if in_use is not None else {}
        self._asked = {
            "tables": in_use.tables if in_use is not None else [],
            "new": [table.name for table in tables],
            "beside": beside,
            "ours": _names(noted) if noted else [*_names(made), *_names(_MADE_BY_0_1_0)],
            "mine": _names(made),
        }
        self._found: Sequence[Belonging] = ()
        self._hung: list[Belonging] = []

    async def look(self, connection: Connection) -> None:
        """See what there is. Raises CannotBeCarried, with all names."""
        async with _whole_names(connection):
            cursor = await connection.execute(_FIND, self._asked)
            self._found = [Belonging(*row) for row in await cursor.fetchall()]
        names = [f"{b.what} on {b.table}" for b in self._found if b.statement is None]
        if names:
            raise CannotBeCarried(names=", ".join(names))

    async def hang(self, connection: Connection, *moments: Moment) -> None:
        """Make what comes at these moments, and is not there yet. Raises CannotBeCarried."""
        for one in self._found:
            if one.moment in moments and one not in self._hung and one.statement is not None:
                try:
                    await connection.execute(one.statement.encode())
                except psycopg.OperationalError:
                    raise
                except psycopg.Error as refused:
                    said = f"{one.what} on {one.table} ({database_said(refused)})"
                    raise CannotBeCarried(names=said) from refused
                if one.moment != Moment.IN_USE:
                    self._hung.append(one)

    def ready(self) -> bool:
        """Whether all is made that has to be, before the tables are exchanged.

        Raises ChangedMeanwhile where something was made that is not there any more.
        """
        gone = [one for one in self._hung if one not in self._found]
        if gone:
            raise ChangedMeanwhile(names=", ".join(f"{b.what} on {b.table}" for b in gone))
        before = [one for one in self._found if one.moment != Moment.IN_USE]
        return len(before) == len(self._hung)

    def with_statistics(self) -> Sequence[str]:
        """The tables with statistics of an administrator, which are empty until gathered anew."""
        return sorted({b.table for b in self._found if b.what.startswith("statistics ")})


async def made_in(connection: Connection, schema: str, tables: Sequence[Table]) -> Made:
    """The names of all that is on tables which the club has just made."""
    async with _whole_names(connection):
        cursor = await connection.execute(
            _NAMES, {"schema": schema, "tables": [table.name for table in tables]}
        )
        rows = await cursor.fetchall()
    found: Made = {}
    for table, name in rows:
        found.setdefault(table, []).append(name)
    for table_made in tables:
        for switched in table_made.switched:
            found[table_made.name] += [
                f"constraint {switched.name}", f"index {switched.name}",
                f"index {switched.name}_off",
            ]  # fmt: skip
    return found


async def revoke_all(connection: Connection, tables: Sequence[Table]) -> None:
    """Take back what new tables grant by default, so that they grant what the old ones did."""
    cursor = await connection.execute(_REVOKES, [[table.name for table in tables]])
    for (statement,) in await cursor.fetchall():
        await connection.execute(statement.encode())


def _names(made: Made) -> list[str]:
    return [f"{table} {name}" for table, of_table in made.items() for name in of_table]


@asynccontextmanager
async def _whole_names(connection: Connection) -> AsyncIterator[None]:
    """Postgres writes names out in full here: they mean the same, wherever they are read."""
    cursor = await connection.execute("SELECT current_setting('search_path')")
    before = await cursor.fetchone()
    await connection.execute("SELECT set_config('search_path', '', FALSE)")
    yield
    await connection.execute("SELECT set_config('search_path', %s, FALSE)", before)


_NAMES = """
WITH t AS (
    SELECT oid, relname FROM pg_class
    WHERE relnamespace = %(schema)s::regnamespace AND relname = ANY(%(tables)s)
), a AS (
    SELECT t.relname, a.* FROM t JOIN pg_attribute AS a ON attrelid = t.oid
    WHERE attnum > 0 AND NOT attisdropped
)
SELECT relname, 'column ' || attname FROM a
UNION ALL
SELECT relname, 'NOT NULL of ' || attname FROM a WHERE attnotnull
UNION ALL
SELECT relname, format('default of %%s %%s', attname, pg_get_expr(adbin, adrelid))
FROM a JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
UNION ALL
SELECT t.relname, 'index ' || i.relname FROM t JOIN pg_index ON indrelid = t.oid
JOIN pg_class AS i ON i.oid = indexrelid
UNION ALL
SELECT t.relname, 'constraint ' || conname FROM t JOIN pg_constraint ON conrelid = t.oid
"""

_REVOKES = """
SELECT DISTINCT format('REVOKE ALL ON public.%%I FROM %%s', c.relname,
    CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END)
FROM pg_class AS c, aclexplode(c.relacl) AS a
WHERE c.relnamespace = 'public'::regnamespace AND c.relname = ANY(%s) AND a.grantee <> c.relowner
"""

_FIND = files("infra.following").joinpath("belongings.sql").read_bytes()
"""All that hangs on the tables, as statements that make it again, in the order to make it in."""
