"""Folded changes, written: a few statements a table, whatever the batch holds.

Everything happens in the connection's transaction, in the tables of its search path.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from itertools import groupby
from typing import Any

import orjson
import psycopg
from psycopg.sql import SQL, Composed, Identifier

from domain.aggregate import time_text
from domain.recorded import Recorded
from projections.engine.chained import chained, of_club
from projections.engine.folding import Changes, TableChanges, fold_batch, keys
from projections.engine.model import Group
from projections.engine.table import Gather, Key, Row, Switch, Table

Connection = psycopg.AsyncConnection[Any]


async def project(group: Group, events: Sequence[Recorded], connection: Connection) -> None:
    """Write what these events mean, in order."""
    known = await load(group, events, connection)
    await write(group, fold_batch(group, events, known), connection)


async def load(
    group: Group, events: Sequence[Recorded], connection: Connection
) -> dict[str, dict[Key, Row]]:
    """The rows that the group's folds need for these events, one query a table."""
    return {
        name: await _rows_of(table, wanted, connection)
        for name, (table, wanted) in keys(group, events).items()
    }


async def load_of_club(
    group: Group, events: Sequence[Recorded], connection: Connection, club: int
) -> dict[str, dict[Key, Row]]:
    """The same, of the rows of one club in the tables of a chain."""
    found: dict[str, dict[Key, Row]] = {}
    for name, (table, wanted) in keys(group, events).items():
        named = [(club, *key) for key in wanted]
        found[name] = of_club(await _rows_of(chained(table), named, connection))
    return found


async def _rows_of(table: Table, wanted: Iterable[Key], connection: Connection) -> dict[Key, Row]:
    """The rows of a table with these keys, as far as there are such."""
    named = [dict(zip(table.key, key, strict=True)) for key in wanted]
    cursor = await connection.execute(_select(table), [_json(named)])
    columns = [column.name for column in cursor.description or ()]
    rows: list[Row] = [
        {c: _fact(value) for c, value in zip(columns, row, strict=True)}
        for row in await cursor.fetchall()
    ]
    return {tuple([row[c] for c in table.key]): row for row in rows}


async def write(
    group: Group,
    steps: Sequence[Changes],
    connection: Connection,
    *,
    constrained: bool = True,
    many: bool = False,
) -> None:
    """Write these changes, one after the other.

    `constrained` is whether the tables have their constraints yet; without, none is switched.
    With `many` new rows they are copied, which a pipeline does not allow.
    """
    switches = switched(steps) if constrained else ()
    for switch in switches:
        if not switch.on:
            await switch_off(switch, connection)
    for changes in steps:
        await _write(group, changes, connection, many=many)
    for switch in switches:
        if switch.on:
            await switch_on(switch, connection)


async def _write(group: Group, changes: Changes, connection: Connection, *, many: bool) -> None:
    """First what is there, then what goes, and that before what it refers to.

    Constraints wait for the commit, ON DELETE does not: a row goes with its parent only if it
    is still the parent's when all that happened has been written.
    """
    for of_table in changes.tables.values():
        await _write_rows(of_table, connection, many=many)
    for table in reversed(group.tables):
        if table.name in changes.tables:
            of_table = changes.tables[table.name]
            await _delete_rows(table, of_table.removes - of_table.puts.keys(), connection)
    for _, gathers in groupby(changes.gathers, key=_span):
        await _gather(list(gathers), connection)


async def _write_rows(changes: TableChanges, connection: Connection, *, many: bool) -> None:
    """Write what is there; a key that was given to a new row is taken from the old one."""
    table = changes.table
    await _delete_rows(table, changes.removes & changes.puts.keys(), connection)
    for columns, rows in changes.patches_by_columns().items():
        await connection.execute(_update(table, columns), [_json(rows)])
    if many:
        await _copy(table, changes.puts.values(), connection)
    elif changes.puts:
        await connection.execute(_insert(table), [_json(list(changes.puts.values()))])
    by_columns: dict[tuple[str, ...], list[Row]] = {}
    for key, sums in changes.sums.items():
        row = {**dict(zip(table.key, key, strict=True)), **sums}
        by_columns.setdefault(tuple(sums), []).append(row)
    for columns, rows in by_columns.items():
        await connection.execute(_add(table, columns), [_json(rows)])


async def _copy(table: Table, rows: Iterable[Row], connection: Connection) -> None:
    by_columns: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        by_columns.setdefault(tuple(row), []).append(row)
    for columns, alike in by_columns.items():
        named = SQL(", ").join(map(Identifier, columns))
        statement = SQL("COPY {} ({}) FROM STDIN").format(Identifier(table.name), named)
        async with connection.cursor().copy(statement) as copy:
            for row in alike:
                await copy.write_row([*row.values()])


async def _delete_rows(table: Table, gone: set[Key], connection: Connection) -> None:
    if gone:
        rows = [dict(zip(table.key, key, strict=True)) for key in gone]
        await connection.execute(_delete(table), [_json(rows)])


# --- gathered rows -----------------------------------------------------------------------------


def _span(gather: Gather) -> tuple[object, ...]:
    """What two rows have in common that show the same rows."""
    among = tuple(gather.among.items())
    return (gather.table.name, gather.source.name, gather.by, gather.first, gather.beyond, among)


async def _gather(gathers: Sequence[Gather], connection: Connection) -> None:
    """Gather for the first; the others show the same, which is copied as it is stored."""
    first, *others = gathers
    await connection.execute(
        _gather_statement(first),
        [first.first, first.beyond, *first.among.values(), _json([first.row])],
    )
    if others:
        key = [first.row[column] for column in first.table.key]
        rows = _json([gather.row for gather in others])
        await connection.execute(_copy_statement(first), [*key, rows])


def _gather_statement(gather: Gather) -> bytes:
    t, columns = gather.table.name, ", ".join(gather.row)
    new = ", ".join(f"new.{column}" for column in gather.row)
    order = ", ".join(f"{gather.alias}.{column}" for column in gather.source.key)
    among = "".join(f" AND {gather.alias}.{column} = %s" for column in gather.among)
    statement = f"""
    INSERT INTO {t} ({columns}, {gather.column})
    SELECT {new}, jsonb_build_object('data', coalesce((
        SELECT jsonb_agg(to_jsonb(shown) ORDER BY {order})
        FROM {gather.source.name} AS {gather.alias}
        CROSS JOIN LATERAL (SELECT {gather.shown}) AS shown
        WHERE {gather.alias}.{gather.by} >= %s AND {gather.alias}.{gather.by} < %s{among}), '[]'))
    FROM json_populate_recordset(NULL::{t}, %s::json) AS new
    """
    return statement.encode()


def _copy_statement(gather: Gather) -> bytes:
    t, columns = gather.table.name, ", ".join(gather.row)
    new = ", ".join(f"new.{column}" for column in gather.row)
    same = " AND ".join(f"{column} = %s" for column in gather.table.key)
    statement = f"""
    INSERT INTO {t} ({columns}, {gather.column})
    SELECT {new}, (SELECT {gather.column} FROM {t} WHERE {same})
    FROM json_populate_recordset(NULL::{t}, %s::json) AS new
    """
    return statement.encode()


# --- constraints that come and go --------------------------------------------------------------

# Whether a table has a constraint of this name.
_HAS = "SELECT FROM pg_constraint WHERE conrelid = to_regclass(%s) AND conname = %s"

# Nobody waits long behind a table that is to be altered: whoever alters it tries again.
_BRIEFLY = "SET LOCAL lock_timeout = '2s'"


def switched(steps: Iterable[Changes]) -> Sequence[Switch]:
    """What becomes of each switched constraint in the end."""
    last: dict[tuple[str, str], Switch] = {}
    for changes in steps:
        last |= changes.switches
    return tuple(last.values())


async def switch_off(switch: Switch, connection: Connection) -> None:
    """Take the constraint away, where it is there."""
    table, constraint = switch.table.name, switch.constraint
    if await _has(switch, connection):
        await connection.execute(_BRIEFLY)
        await connection.execute(f"ALTER TABLE {table} DROP CONSTRAINT {constraint.name}".encode())
    await connection.execute(
        f"CREATE INDEX IF NOT EXISTS {constraint.name}_off ON {table} {constraint.index}".encode()
    )


async def switch_on(switch: Switch, connection: Connection) -> None:
    """Have the constraint hold from here on, and for all that is there."""
    table, constraint = switch.table.name, switch.constraint
    if await _has(switch, connection):
        return
    await connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
    await connection.execute(_BRIEFLY)
    await connection.execute(
        f"ALTER TABLE {table} ADD CONSTRAINT {constraint.name} {constraint.holds}".encode()
    )
    await connection.execute(f"DROP INDEX IF EXISTS {constraint.name}_off".encode())
    await connection.execute("SET CONSTRAINTS ALL DEFERRED")


async def _has(switch: Switch, connection: Connection) -> bool:
    cursor = await connection.execute(_HAS, [switch.table.name, switch.constraint.name])
    return await cursor.fetchone() is not None


# --- statements --------------------------------------------------------------------------------


def _json(rows: Sequence[Row]) -> str:
    return orjson.dumps(rows, default=_exactly).decode()


def _exactly(value: object) -> str:
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(f"a row holds plain facts, not a {type(value).__name__}")


def _fact(value: object) -> object:
    """A value of a column in the form of facts."""
    match value:
        case datetime():
            return time_text(value)
        case date():
            return value.isoformat()
        case Decimal():
            return f"{value:f}"
        case _:
            return value


@cache
def _select(table: Table) -> bytes:
    statement = SQL(
        "SELECT {t}.* FROM {t} JOIN json_populate_recordset(NULL::{t}, %s::json) AS asked ON {same}"
    ).format(t=Identifier(table.name), same=_same(table, "asked"))
    return statement.as_bytes()


@cache
def _insert(table: Table) -> bytes:
    statement = SQL(
        "INSERT INTO {t} SELECT * FROM json_populate_recordset(NULL::{t}, %s::json)"
    ).format(t=Identifier(table.name))
    return statement.as_bytes()


@cache
def _add(table: Table, columns: tuple[str, ...]) -> bytes:
    named = [*table.key, *columns]
    sums = ", ".join(f"{c} = {table.name}.{c} + excluded.{c}" for c in columns)
    statement = (
        f"INSERT INTO {table.name} ({', '.join(named)}) "
        f"SELECT {', '.join(named)} FROM json_populate_recordset(NULL::{table.name}, %s::json) "
        f"ON CONFLICT ({', '.join(table.key)}) DO UPDATE SET {sums}"
    )
    return statement.encode()


@cache
def _update(table: Table, columns: tuple[str, ...]) -> bytes:
    statement = SQL(
        "UPDATE {t} SET {changes} FROM json_populate_recordset(NULL::{t}, %s::json) AS new "
        "WHERE {same}"
    ).format(
        t=Identifier(table.name),
        changes=SQL(", ").join(
            SQL("{c} = new.{c}").format(c=Identifier(column)) for column in columns
        ),
        same=_same(table, "new"),
    )
    return statement.as_bytes()


@cache
def _delete(table: Table) -> bytes:
    statement = SQL(
        "DELETE FROM {t} USING json_populate_recordset(NULL::{t}, %s::json) AS old WHERE {same}"
    ).format(t=Identifier(table.name), same=_same(table, "old"))
    return statement.as_bytes()


def _same(table: Table, other: str) -> Composed:
    return SQL(" AND ").join(
        SQL("{t}.{c} = {o}.{c}").format(
            t=Identifier(table.name), c=Identifier(column), o=Identifier(other)
        )
        for column in table.key
    )
