"""From a batch of events to rows.

The live tail, a rebuild and a test all call `project`: a pure function of the events and the
connection. The tables are those of the connection's search path.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import orjson
import psycopg
from psycopg.sql import SQL, Composed, Identifier

from domain.aggregate import Event
from projections.catalogue import PROJECTORS, VERSIONS, tables
from projections.engine.table import Compute, Operation, Patch, Put, Remove, Row, Table

Connection = psycopg.AsyncConnection[Any]

_ORDER = tuple(table.name for table in tables(shared_memberships=False))
"""Every table, after those that it references."""


async def project(events: Sequence[Event], connection: Connection) -> None:
    """Write what these events mean, in order, within the connection's transaction."""
    for step in fold(events):
        await step.write(connection)


def fold(events: Iterable[Event]) -> list[Changes | Computation]:
    """What these events mean, folded; needs no database, so it can be done ahead of writing."""
    steps: list[Changes | Computation] = [Changes()]
    for event in events:
        for operation in operations(event):
            last = steps[-1]
            if isinstance(operation, Compute):
                steps.append(Computation(operation))
            elif isinstance(last, Changes):
                last.fold(operation)
            else:
                steps.append(Changes(operation))
    return steps


def operations(event: Event) -> Iterable[Operation]:
    """What one event means for the read tables."""
    kind = event.originator_id.rpartition("-")[0]
    projector = PROJECTORS.get(kind)
    if projector is not None:
        yield _version(event)
        yield from projector(event)


def _version(event: Event) -> Operation:
    """The version that a row shows, kept beside the documented columns; it is the ETag."""
    key, version = event.originator_id, event.originator_version
    if version == 1:
        return Put(VERSIONS, {"aggregate_id": key, "version": version})
    return Patch(VERSIONS, (key,), {"version": version})


class Computation:
    """A statement over the tables as they stand between two events."""

    def __init__(self, compute: Compute) -> None:
        self._compute = compute

    async def write(self, connection: Connection) -> None:
        """Run it."""
        await connection.execute(self._compute.sql.encode(), self._compute.params)


class Changes:
    """The operations of a batch, folded to at most one for each row."""

    def __init__(self, *operations: Put | Patch | Remove) -> None:
        self._tables: dict[str, TableChanges] = {}
        for operation in operations:
            self.fold(operation)

    def fold(self, operation: Put | Patch | Remove) -> None:
        """Take one more operation."""
        table = operation.table
        changes = self._tables.get(table.name)
        if changes is None:
            changes = self._tables[table.name] = TableChanges(table)
        changes.fold(operation)

    async def write(self, connection: Connection) -> None:
        """Write them all: first what is there, then what goes, and that before what it refers to.

        Constraints wait for the commit, ON DELETE does not: a row goes with its parent only if it
        is still the parent's when all that happened has been written.
        """
        for changes in self._tables.values():
            await changes.write(connection)
        for name in reversed(_ORDER):
            if name in self._tables:
                await self._tables[name].write_removes(connection)


class TableChanges:
    """The rows of one table that a batch touches."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._puts: dict[tuple[Any, ...], dict[str, Any]] = {}
        self._patches: dict[tuple[Any, ...], dict[str, Any]] = {}
        self._removes: set[tuple[Any, ...]] = set()

    def fold(self, operation: Put | Patch | Remove) -> None:
        """Take one more operation."""
        match operation:
            case Put(table, row):
                self._puts[tuple([row[column] for column in table.key])] = dict(row)
            case Patch(_, key, changes):
                if key in self._puts:
                    self._puts[key].update(changes)
                else:
                    self._patches.setdefault(key, {}).update(changes)
            case Remove(_, key):
                self._patches.pop(key, None)
                if self._puts.pop(key, None) is None:
                    self._removes.add(key)

    async def write(self, connection: Connection) -> None:
        """Write what is there; a key that was given to a new row is taken from the old one."""
        table = self._table
        await self._delete(connection, self._removes & self._puts.keys())
        for columns, rows in self._patches_by_columns().items():
            await _execute(connection, _update(table, columns), rows)
        if self._puts:
            await _execute(connection, _insert(table), list(self._puts.values()))

    async def write_removes(self, connection: Connection) -> None:
        """Write what goes."""
        await self._delete(connection, self._removes - self._puts.keys())

    async def _delete(self, connection: Connection, keys: set[tuple[Any, ...]]) -> None:
        if keys:
            await _execute(connection, _delete(self._table), [self._keyed(key) for key in keys])

    def _keyed(self, key: tuple[Any, ...]) -> dict[str, Any]:
        return dict(zip(self._table.key, key, strict=True))

    def _patches_by_columns(self) -> dict[tuple[str, ...], list[Row]]:
        groups: dict[tuple[str, ...], list[Row]] = {}
        for key, changes in self._patches.items():
            groups.setdefault(tuple(changes), []).append({**changes, **self._keyed(key)})
        return groups


async def _execute(connection: Connection, statement: bytes, rows: Sequence[Row]) -> None:
    await connection.execute(statement, [orjson.dumps(rows).decode()])


@cache
def _insert(table: Table) -> bytes:
    statement = SQL(
        "INSERT INTO {t} SELECT * FROM json_populate_recordset(NULL::{t}, %s::json)"
    ).format(t=Identifier(table.name))
    return statement.as_bytes()


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
