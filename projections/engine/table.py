"""What a read table is, and the row operations that projectors give.

A projector turns one event into operations. They are folded for a whole batch of events, so that
each row is written once a batch, in a few statements a table, whatever the batch holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]


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


@dataclass(frozen=True, slots=True)
class Put:
    """A new row, whole."""

    table: Table
    row: Row


@dataclass(frozen=True, slots=True)
class Patch:
    """Some columns of the row with this key."""

    table: Table
    key: tuple[Any, ...]
    changes: Row


@dataclass(frozen=True, slots=True)
class Remove:
    """The row with this key goes."""

    table: Table
    key: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Compute:
    """A statement over the read tables exactly as they stand at the event."""

    sql: str
    params: Row


Operation = Put | Patch | Remove | Compute
Operations = Iterable[Operation]


def deferred(constraint: str) -> str:
    """The constraint, checked when the batch commits."""
    return f"{constraint} DEFERRABLE INITIALLY DEFERRED"


def utc(column: str, alias: str = "") -> str:
    """SQL for a timestamptz in the one form of answers."""
    name = alias or column.rpartition(".")[2]
    return f"to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') AS {name}"
