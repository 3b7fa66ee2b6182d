"""From a batch of events to the fewest changes of rows; pure, and ahead of any database.

Operations on one row are folded into one. Where an operation depends on rows as they are at its
event, the batch is cut there: what comes before is written first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from domain.recorded import Recorded
from projections.engine.model import AnyFold, Group, LookingFold, Stepped
from projections.engine.table import (
    Add,
    Gather,
    Key,
    Operation,
    Patch,
    Put,
    Remove,
    Row,
    Switch,
    Table,
)

Known = Mapping[str, Mapping[Key, Row]]
"""Rows of the tables of folds, by table and key, as they are before a batch."""


class Tripped(Exception):
    """A projector, which is code of ours, tripped over an event."""

    def __init__(self, index: int, recorded: Recorded, fault: Exception) -> None:
        super().__init__(f"{type(fault).__name__}: {fault}")
        self.index = index
        """Which event of the batch it was."""
        self.position = recorded.position
        self.topic = recorded.event.TOPIC
        self.reason = f"its projector failed with {type(fault).__name__}"


@dataclass(slots=True)
class TableChanges:
    """The rows of one table that a batch touches, each once."""

    table: Table
    puts: dict[Key, dict[str, object]] = field(default_factory=dict)
    patches: dict[Key, dict[str, object]] = field(default_factory=dict)
    removes: set[Key] = field(default_factory=set)
    sums: dict[Key, dict[str, int | Decimal]] = field(default_factory=dict)

    def fold(self, operation: Put | Patch | Remove | Add) -> None:
        """Take one more operation; a rebuild does this for millions."""
        if isinstance(operation, Patch):
            key = operation.key
            known = self.puts.get(key) or self.patches.get(key)
            if known is None:
                self.patches[key] = dict(operation.changes)
            else:
                known.update(operation.changes)
        elif isinstance(operation, Put):
            row = operation.row
            self.puts[tuple([row[column] for column in self.table.key])] = dict(row)
        elif isinstance(operation, Remove):
            self.patches.pop(operation.key, None)
            if self.puts.pop(operation.key, None) is None:
                self.removes.add(operation.key)
        else:
            sums = self.sums.setdefault(operation.key, {})
            for column, delta in operation.deltas.items():
                sums[column] = sums.get(column, 0) + delta

    def patches_by_columns(self) -> dict[tuple[str, ...], list[Row]]:
        """The patches that set the same columns, together."""
        groups: dict[tuple[str, ...], list[Row]] = {}
        for key, changes in self.patches.items():
            keyed = dict(zip(self.table.key, key, strict=True))
            groups.setdefault(tuple(changes), []).append({**changes, **keyed})
        return groups


class Changes:
    """The operations of a batch, folded to at most one for each row."""

    def __init__(self, *operations: Operation) -> None:
        self.tables: dict[str, TableChanges] = {}
        self.switches: dict[tuple[str, str], Switch] = {}
        self.gathers: list[Gather] = []
        """Rows to be gathered once everything else here is written."""
        for operation in operations:
            self.fold(operation)

    def fold(self, operation: Operation) -> None:
        """Take one more operation."""
        if isinstance(operation, tuple):
            name = operation.table.name
            changes = self.tables.get(name)
            if changes is None:
                changes = self.tables[name] = TableChanges(operation.table)
            changes.fold(operation)
        elif isinstance(operation, Gather):
            self.gathers.append(operation)
        else:
            self.switches[operation.table.name, operation.constraint.name] = operation

    def takes(self, operation: Operation) -> bool:
        """Whether the operation may still join these: nothing was gathered that it would change."""
        return not self.gathers or (
            isinstance(operation, Gather)
            or all(
                operation.table is not gather.source and operation.table is not gather.table
                for gather in self.gathers
            )
        )


def keys(group: Group, events: Sequence[Recorded]) -> dict[str, tuple[Table, set[Key]]]:
    """The rows that the group's folds need for these events, by table."""
    wanted: dict[str, tuple[Table, set[Key]]] = {}
    folds = group.folds_of
    for index, recorded in enumerate(events):
        for fold in folds.get(recorded.event.kind, ()):
            try:
                for table, key in _needs(fold, recorded):
                    wanted.setdefault(table.name, (table, set()))[1].add(key)
            except Exception as fault:
                raise Tripped(index, recorded, fault) from fault
    return wanted


def _needs(fold: AnyFold, recorded: Recorded) -> Iterator[tuple[Table, Key]]:
    """The rows that a fold's step looks at."""
    key = fold.key(recorded)
    if key is not None:
        yield fold.table, key
        if isinstance(fold, LookingFold) and (other := fold.looks_at(recorded)) is not None:
            yield fold.other, other


def fold_batch(
    group: Group, events: Sequence[Recorded], known: Known | None = None
) -> list[Changes]:
    """What these events mean for the group's tables, to be written one after the other.

    `known` are the rows that `keys` named, as they are before. Raises Tripped.
    """
    steps = [Changes()]
    rows = {name: dict(of) for name, of in (known or {}).items()}
    before = {name: dict(of) for name, of in rows.items()}
    projects, folds = group.projects, group.folds_of
    for index, recorded in enumerate(events):
        kind = recorded.event.kind
        try:
            for project in projects.get(kind, ()):
                for operation in project(recorded):
                    _join(steps, operation)
            for fold in folds.get(kind, ()):
                for operation in _stepped(fold, recorded, rows):
                    _join(steps, operation)
        except Exception as fault:
            raise Tripped(index, recorded, fault) from fault
    for fold in group.folds:
        _fold_rows(fold, before.get(fold.table.name, {}), rows.get(fold.table.name, {}), steps[-1])
    return steps


def _join(steps: list[Changes], operation: Operation) -> None:
    """Fold the operation into the last step, or into one more."""
    last = steps[-1]
    if last.gathers and not last.takes(operation):
        last = Changes()
        steps.append(last)
    last.fold(operation)


def _stepped(
    fold: AnyFold, recorded: Recorded, rows: dict[str, dict[Key, Row]]
) -> Iterable[Operation]:
    """Let a fold take its step; the operations beside."""
    key = fold.key(recorded)
    if key is None:
        return ()
    of_table = rows.setdefault(fold.table.name, {})
    row, beside = _step(fold, of_table.get(key), recorded, rows)
    if row is None:
        of_table.pop(key, None)
    else:
        of_table[key] = row
    return beside


def _step(
    fold: AnyFold, row: Row | None, recorded: Recorded, rows: Mapping[str, Mapping[Key, Row]]
) -> Stepped:
    if not isinstance(fold, LookingFold):
        return fold.step(row, recorded)
    other = fold.looks_at(recorded)
    looked_at = None if other is None else rows.get(fold.other.name, {}).get(other)
    return fold.step(row, recorded, looked_at)


def _fold_rows(
    fold: AnyFold, before: Mapping[Key, Row], after: Mapping[Key, Row], changes: Changes
) -> None:
    """What became of each row of a fold, written once."""
    for key, row in after.items():
        known = before.get(key)
        if known is None:
            changes.fold(Put(fold.table, row))
        elif known != row:
            changed = {name: value for name, value in row.items() if known.get(name) != value}
            changes.fold(Patch(fold.table, key, changed))
    for key in before.keys() - after.keys():
        changes.fold(Remove(fold.table, key))
