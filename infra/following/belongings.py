"""What a database administrator hung on the read tables, and how it comes along to new ones.

Grants, comments, indexes, constraints, policies, publications, triggers, statistics and storage
settings are carried over. What cannot be (a column of their own, a rule, an inheriting table, a
foreign key) is named before anything is exchanged, and refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import Any, NamedTuple

import psycopg

from infra.faults import Fault
from infra.following.tables import Made
from projections.engine.table import Table

Connection = psycopg.AsyncConnection[Any]


class CannotBeCarried(Fault):
    """What is on the read tables cannot all be carried over to new ones: {names}.

    Nothing was exchanged. Take these away, and put them back afterwards.
    """


class Belonging(NamedTuple):
    """One thing that hangs on a table."""

    table: str
    what: str
    """For people: `index payments_by_day`."""
    early: bool
    """Whether it is made before the tables are exchanged, as it takes a while."""
    statement: str | None
    """What makes it on the table called `@table@`; None for what cannot be carried."""


class Belongings:
    """All that hangs on the tables of a group."""

    def __init__(self, found: Sequence[Belonging]) -> None:
        self._found = found

    def refuse_what_cannot_be_carried(self) -> None:
        """Raises CannotBeCarried, with all names."""
        names = [f"{b.what} of {b.table}" for b in self._found if b.statement is None]
        if names:
            raise CannotBeCarried(names=", ".join(names))

    async def hang(
        self, connection: Connection, schema: str, *, early: bool, but: Belongings | None = None
    ) -> None:
        """Make all that comes at this time on the tables in this schema, `but` what was made."""
        made = () if but is None else but._found
        for one in self._found:
            if one.early is early and one.statement is not None and one not in made:
                statement = one.statement.replace("@table@", f"{schema}.{one.table}")
                await connection.execute(statement.replace("@schema@", schema).encode())


async def find(connection: Connection, tables: Sequence[Table], ours: Made) -> Belongings:
    """What hangs on the tables in use; `ours` are the names of what the club made itself."""
    names = [table.name for table in tables]
    made = [f"{table} {name}" for table, of_table in ours.items() for name in of_table]
    cursor = await connection.execute(_FIND, {"tables": names, "ours": made})
    return Belongings([Belonging(*row) for row in await cursor.fetchall()])


async def made_in(connection: Connection, schema: str, tables: Sequence[Table]) -> Made:
    """The names of all that is on tables which the club has just made."""
    cursor = await connection.execute(
        _NAMES, {"schema": schema, "tables": [table.name for table in tables]}
    )
    found: Made = {}
    for table, name in await cursor.fetchall():
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


_NAMES = """
WITH t AS (
    SELECT oid, relname FROM pg_class
    WHERE relnamespace = %(schema)s::regnamespace AND relname = ANY(%(tables)s)
)
SELECT t.relname, 'column ' || attname FROM t JOIN pg_attribute ON attrelid = t.oid
WHERE attnum > 0 AND NOT attisdropped
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
