"""What a read table is, and the row operations that projectors give.

A projector turns one event into operations. They are folded for a whole batch of events, so that
each row is written once a batch, in a few statements a table, whatever the batch holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple

Row = Mapping[str, Any]
"""Columns by name, each value in the form of facts: numbers, booleans, and everything else text."""
Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Switched:
    """A constraint that holds at some times and not at others, as the events say.

    It holds from the start; while it does not, an index keeps its columns quick to find.
    """

    name: str
    holds: str
    """What `ALTER TABLE … ADD CONSTRAINT name` takes."""
    index: str
    """What `CREATE INDEX name ON …` takes, while it does not hold."""


@dataclass(frozen=True, slots=True)
class Table:
    """One read table: its columns, and its constraints apart, so that a rebuild adds them last."""

    name: str
    key: tuple[str, ...]
    columns: str
    """The column definitions."""
    constraints: tuple[str, ...] = ()
    """What `ALTER TABLE … ADD` takes; all are checked at commit, in whatever order rows come."""
    indexes: tuple[str, ...] = ()
    """What `CREATE INDEX ON …` takes."""
    switched: tuple[Switched, ...] = ()


class Put(NamedTuple):
    """A new row, whole."""

    table: Table
    row: Row


class Patch(NamedTuple):
    """Some columns of the row with this key."""

    table: Table
    key: Key
    changes: Row


class Remove(NamedTuple):
    """The row with this key goes."""

    table: Table
    key: Key


class Add(NamedTuple):
    """So much more (or less) in some columns of the row with this key, which begins at 0.

    The order does not matter, and each event counts once, as rows and position commit together.
    A table that is added to is written in no other way.
    """

    table: Table
    key: Key
    deltas: Mapping[str, int | Decimal]


@dataclass(frozen=True, slots=True)
class Gather:
    """A new row with one column that shows other rows of the group, as they are at this event.

    The rows are those of `source` with `first <= by < beyond`; the column is
    `{"data": [row, …]}`, with `shown` of each, in the order of the key. In `shown`, the source
    goes by `alias`.
    """

    table: Table
    row: Row
    column: str
    source: Table
    alias: str
    by: str
    first: Any
    beyond: Any
    shown: str
    among: Row = field(default_factory=dict)
    """What the rows of the source have in common, too."""


@dataclass(frozen=True, slots=True)
class Switch:
    """A switched constraint of a table holds from here on, or does not."""

    table: Table
    constraint: Switched
    on: bool


Operation = Put | Patch | Remove | Add | Gather | Switch
Operations = Iterable[Operation]


def deferred(constraint: str) -> str:
    """The constraint, checked when the batch commits."""
    return f"{constraint} DEFERRABLE INITIALLY DEFERRED"


def utc(column: str, alias: str = "") -> str:
    """SQL for a timestamptz in the one form of answers."""
    name = alias or column.rpartition(".")[2]
    return f"to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') AS {name}"
