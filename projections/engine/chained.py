"""The tables of a group for a whole chain: each row says which club it is of.

Projectors know nothing of it. What they give is folded as for one club, and then put into tables
that have the club in front of every key, reference and unique constraint. Pure, as folding is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from projections.engine.folding import Changes, TableChanges
from projections.engine.model import Group
from projections.engine.table import Gather, Key, Row, Table

CLUB = "club"
"""The column with the number of the club."""

# Numbers come from each club's own sequences, with the events.
_NUMBERED = re.compile(r"\s+DEFAULT nextval\('\w+'\)")
_UNIQUE = re.compile(r"UNIQUE \((?P<columns>[^()]+)\)(?P<rest>.*)")
_REFERENCE = re.compile(
    r"FOREIGN KEY \((?P<columns>[^()]+)\) REFERENCES (?P<table>\w+) \((?P<key>[^()]+)\)(?P<rest>.*)"
)
_SETS = re.compile(r"ON DELETE SET (?:DEFAULT|NULL)")


def of_chain(group: Group) -> Group:
    """The group with the tables of a chain, to make them and to write into them.

    What fills them is that of one club: events are folded with the group itself.
    """
    models = tuple(
        replace(model, tables=tuple(map(chained, model.tables))) for model in group.models
    )
    return Group(group.name, group.generation, models, group.types)


@cache
def chained(table: Table) -> Table:
    """The table with the club in front of all that holds for one club.

    A constraint that the rules of each club switch is an index: one table cannot hold it for some.
    """
    return Table(
        table.name,
        key=(CLUB, *table.key),
        columns=f"{CLUB} integer NOT NULL, {_NUMBERED.sub('', table.columns).strip()}",
        constraints=tuple(map(_constraint, table.constraints)),
        indexes=(
            *map(_index, table.indexes),
            *(_index(switched.index) for switched in table.switched),
        ),
    )


def of_one_club(group: Group) -> Group:
    """The group with its tables as a club has them, but for where new numbers come from.

    They can be made where none of a club's sequences is.
    """
    models = tuple(
        replace(model, tables=tuple(map(_without_numbers, model.tables))) for model in group.models
    )
    return Group(group.name, group.generation, models, group.types)


def _without_numbers(table: Table) -> Table:
    return replace(table, columns=_NUMBERED.sub("", table.columns))


def _constraint(holds: str) -> str:
    if (unique := _UNIQUE.fullmatch(holds)) is not None:
        return f"UNIQUE ({CLUB}, {unique['columns']}){unique['rest']}"
    if (reference := _REFERENCE.fullmatch(holds)) is not None:
        columns, table, key, rest = reference.groups()
        # The row stays its club's, whatever becomes of what it refers to.
        rest = _SETS.sub(rf"\g<0> ({columns})", rest)
        return f"FOREIGN KEY ({CLUB}, {columns}) REFERENCES {table} ({CLUB}, {key}){rest}"
    raise ValueError(f"nobody has said what this is for a chain: {holds}")


def _index(on: str) -> str:
    """By club first; what finds the parts of a value takes no whole numbers, and stays."""
    return f"({CLUB}, {on[1:]}" if on.startswith("(") else on


def in_chain(changes: Changes, club: int) -> Changes:
    """What became of the rows of one club, for the tables of the chain."""
    found = Changes()
    for name, of_table in changes.tables.items():
        found.tables[name] = TableChanges(
            chained(of_table.table),
            {(club, *key): {CLUB: club, **row} for key, row in of_table.puts.items()},
            _keyed(of_table.patches, club),
            {(club, *key) for key in of_table.removes},
            _keyed(of_table.sums, club),
        )
    found.gathers = [_gather(gather, club) for gather in changes.gathers]
    return found


def _keyed(rows: Mapping[Key, dict[str, Any]], club: int) -> dict[Key, dict[str, Any]]:
    return {(club, *key): row for key, row in rows.items()}


def _gather(gather: Gather, club: int) -> Gather:
    return replace(
        gather,
        table=chained(gather.table),
        row={CLUB: club, **gather.row},
        source=chained(gather.source),
        among={CLUB: club},
    )


def of_club(rows: Mapping[Key, Row]) -> dict[Key, Row]:
    """Rows of one club, as its own tables have them."""
    return {
        key[1:]: {name: value for name, value in row.items() if name != CLUB}
        for key, row in rows.items()
    }
