"""One way to read every table: a row by its key, and pages of rows.

A listing names what is shown; the SQL around it is the same for all. Rows become JSON in the
database and are passed on as bytes.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from application.ports.queries import PageRequest, UnreadableCursor

EQUAL = "{} = %s"
AT_LEAST = "{} >= %s"
AT_MOST = "{} <= %s"
LESS = "{} < %s"
SAME_TEXT = "lower({}) = lower(%s)"
"""The same text, whatever its case."""
BEGINS = "lower({}) ^@ lower(%s)"
"""A text that begins so, whatever its case."""
CONTAINS = "strpos(lower({}), lower(%s)) > 0"
"""A text that has it anywhere, whatever its case."""


MOST_FOUND = 500
"""What one term finds at most of names, of usernames and of addresses, the next ones first: who
types a letter will type another."""


@dataclass(frozen=True, slots=True)
class Listing:
    """What is shown of a table, and what it can be filtered and sorted by."""

    kind: str
    """The aggregate behind a row; its number is the first column of the key."""
    table: str
    """What follows FROM."""
    answer: str
    """The columns of the answer, each in the form of answers."""
    columns: Mapping[str, str]
    """Names to filter and sort by, and the column behind each."""
    owner: str = "NULL::integer"
    """The column with the number of the user to whom a row belongs."""
    key: tuple[str, ...] = ()
    comparisons: Mapping[str, str] = field(default_factory=dict)
    """How a name is compared, where it is not by EQUAL."""
    found_by: str = ""
    """SQL for the first column of the key of what a search term finds, so many at most.

    It takes three times the word of the term and how many, then twice its text and how many.
    """
    summary: str | None = None
    """The columns of a row in a list, where that is less than what is shown of one row."""
    only: str = "TRUE"
    """What every row that is shown fulfils."""

    @property
    def keys(self) -> tuple[str, ...]:
        """The columns of the key."""
        return self.key or (self.columns["id"],)

    def by_key(self) -> str:
        """SQL for the rows of some keys: key, owner, version, JSON."""
        keys = ", ".join(self.keys)
        slots = ", ".join(["%s::integer[]"] * len(self.keys))
        return (
            f"SELECT ARRAY[{keys}], {self.owner}, coalesce(v.version, 0), row_to_json(answer) "
            f"FROM {self.table} "
            # What nothing happened to yet is at version 0.
            f"LEFT JOIN aggregate_versions AS v "
            f"ON v.aggregate_id = '{self.kind}-' || {self.keys[0]} "
            f"CROSS JOIN LATERAL (SELECT {self.answer}) AS answer "
            f"WHERE ({keys}) IN (SELECT * FROM unnest({slots})) AND {self.only}"
        )


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL with its parameters; equal ones, asked for at once, are run once."""

    sql: str
    params: tuple[Any, ...]


def page(listing: Listing, wanted: PageRequest) -> Statement:
    """The rows of a page and one more, each as sort value, key and JSON."""
    conditions, params = _conditions(listing, wanted)
    descending = wanted.sort.startswith("-")
    sort = listing.columns[wanted.sort.removeprefix("-")] if wanted.sort else listing.keys[0]
    if wanted.after is not None:
        condition, values = _after(listing, sort, wanted.after, descending=descending)
        conditions.append(condition)
        params += values
    keys = ", ".join(listing.keys)
    sql = (
        f"SELECT {sort}::text, ARRAY[{keys}], row_to_json(answer) FROM {listing.table} "
        f"CROSS JOIN LATERAL (SELECT {listing.summary or listing.answer}) AS answer "
        f"WHERE {' AND '.join(conditions)} "
        f"ORDER BY {_order(listing, sort, descending=descending)} LIMIT %s"
    )
    return Statement(sql, (*params, wanted.limit + 1))


def _order(listing: Listing, sort: str, *, descending: bool) -> str:
    """By the sort column, those without a value last; by the key where it is the same.

    The key's own index gives its order, but not with a word about nulls, which it has none of.
    """
    direction = "DESC" if descending else "ASC"
    if sort == listing.keys[0]:
        return ", ".join([f"{sort} {direction}", *listing.keys[1:]])
    return ", ".join([f"{sort} {direction} NULLS LAST", *listing.keys])


def total(listing: Listing, wanted: PageRequest) -> Statement:
    """How many rows the whole list has."""
    conditions, params = _conditions(listing, wanted)
    sql = f"SELECT count(*) FROM {listing.table} WHERE {' AND '.join(conditions)}"
    return Statement(sql, tuple(params))


def _conditions(listing: Listing, wanted: PageRequest) -> tuple[list[str], list[Any]]:
    conditions, params = [listing.only], []
    for name, value in wanted.filters.items():
        conditions.append(listing.comparisons.get(name, EQUAL).format(listing.columns[name]))
        params.append(value)
    if wanted.terms:
        found = " INTERSECT ".join([f"({listing.found_by})"] * len(wanted.terms))
        conditions.append(f"{listing.keys[0]} IN ({found})")
        # What two terms have in common is only to be told from all that each finds.
        most = MOST_FOUND if len(wanted.terms) == 1 else None
        for word, text in wanted.terms:
            params += [word, most] * 3 + [text, most] * 2
    if wanted.owner is not None:
        conditions.append(f"{listing.owner} = %s")
        params.append(wanted.owner)
    return conditions, params


def _after(listing: Listing, sort: str, cursor: str, *, descending: bool) -> tuple[str, list[Any]]:
    """What the rows after a cursor fulfil; rows without a value come last."""
    value, *key = read_cursor(cursor, len(listing.keys))
    further = f"({', '.join(listing.keys)}) > ({', '.join(['%s'] * len(key))})"
    beyond = f"{sort} {'<' if descending else '>'} %s"
    if sort == listing.keys[0]:
        # In a form that the key's index answers without looking at the pages before.
        if not descending:
            return further, key
        if len(key) == 1:
            return beyond, key
    if value is None:
        return f"({sort} IS NULL AND {further})", key
    return f"({beyond} OR {sort} IS NULL OR ({sort} = %s AND {further}))", [value, value, *key]


def write_cursor(value: str | None, key: Sequence[int]) -> str:
    """An opaque name of the place after a row."""
    return base64.urlsafe_b64encode(orjson.dumps([value, *key])).decode().rstrip("=")


def read_cursor(cursor: str, keys: int) -> list[Any]:
    """The sort value and the key of the row before the place."""
    try:
        place = orjson.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", True))
    except (binascii.Error, ValueError) as unreadable:
        raise UnreadableCursor from unreadable
    well_formed = (
        isinstance(place, list)
        and len(place) == keys + 1
        and (place[0] is None or (isinstance(place[0], str) and "\0" not in place[0]))
        and all(type(k) is int and abs(k) < 2**31 for k in place[1:])
    )
    if not well_formed:
        raise UnreadableCursor
    return list(place)
