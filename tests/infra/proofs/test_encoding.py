"""An event to the byte: as the checker writes it, and as Postgres hands it to the tree."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra.ledger.exporting import line_of
from infra.ledger.postgres import Postgres
from infra.proofs.check import COLUMNS, Refused, encode, leaf_hash, moment_text
from infra.proofs.tree import leaves

text = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=12)
number = st.integers(-(2**63), 2**63 - 1)
moments = st.datetimes(timezones=st.just(UTC))
states = st.binary(max_size=40)

Stored = tuple[Any, ...]
"""position, stream, version, topic, state, recorded_at, actor, …"""
stored = st.tuples(number, text, number, text, states, moments, text, text, text, text, text)


def event_of(row: Sequence[Any]) -> dict[str, Any]:
    """A row as proofs have it."""
    event = dict(zip(COLUMNS, row, strict=True))
    event["state_sha256"] = sha256(row[4]).hexdigest()
    event["recorded_at"] = moment_text(row[5])
    return event


async def in_postgres(url: str, rows: Sequence[Stored], **session: str) -> list[bytes]:
    """The leaves of these rows; they are stored, and taken back."""
    async with await Postgres(url).connect() as connection:
        for name, value in session.items():
            await connection.execute("SELECT set_config(%s, %s, true)", [name, value])
        await connection.cursor().executemany(
            "INSERT INTO ledger_events (notification_id, originator_id, originator_version, topic,"
            " state, recorded_at, actor, command, command_id, correlation_id, causation_id)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            rows,
        )
        found = [leaf.hash async for leaf in leaves(connection)]
        await connection.rollback()
    return found


@settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50
)
@given(rows=st.lists(stored, min_size=1, max_size=20, unique_by=(lambda r: r[0], lambda r: r[1:3])))
async def test_postgres_and_the_checker_write_the_same_bytes(
    database: str, rows: list[Stored]
) -> None:
    rows.sort()
    assert await in_postgres(database, rows) == [leaf_hash(encode(event_of(r))) for r in rows]


ROW = (7, "client-1", 3, "client.changed", b'{"a":1}', datetime(2026, 5, 4, tzinfo=UTC), *"acdef")


@pytest.mark.parametrize(
    "session",
    [
        {"timezone": "Asia/Kathmandu", "datestyle": "SQL,DMY", "intervalstyle": "iso_8601"},
        {"bytea_output": "escape", "extra_float_digits": "-15"},
        {"client_encoding": "UTF8", "search_path": "public"},
    ],
)
async def test_a_leaf_is_the_same_whatever_a_session_is_set_to(
    database: str, session: dict[str, str]
) -> None:
    assert await in_postgres(database, [ROW], **session) == [leaf_hash(encode(event_of(ROW)))]


def other(value: Any) -> st.SearchStrategy[Any]:
    """The value with one bit of it another."""
    if isinstance(value, int):
        return st.integers(0, 62).map(lambda bit: value ^ 1 << bit)
    if isinstance(value, datetime):
        return st.integers(0, 40).map(lambda bit: value + timedelta(microseconds=1 << bit))
    if isinstance(value, bytes):
        return st.integers(0, max(0, len(value) * 8 - 1)).map(
            lambda bit: (int.from_bytes(value) ^ 1 << bit).to_bytes(max(1, len(value)))
        )
    return st.sampled_from([value + " ", value[:-1], value.swapcase(), value + "\u0301"])


@settings(max_examples=1000, deadline=None)
@given(stored, st.data(), st.integers(0, 10))
def test_no_column_can_change_without_its_leaf(row: Stored, data: st.DataObject, n: int) -> None:
    changed = (*row[:n], data.draw(other(row[n])), *row[n + 1 :])
    assert (encode(event_of(row)) == encode(event_of(changed))) == (row == changed)


@settings(max_examples=1000, deadline=None)
@given(stored, st.integers(5, 9), st.integers(0, 12))
def test_no_byte_moves_from_one_column_into_the_next(row: Stored, n: int, at: int) -> None:
    n += n == 5
    moved = (*row[:n], row[n][:at], row[n][at:] + row[n + 1], *row[n + 2 :])
    assert (encode(event_of(row)) == encode(event_of(moved))) == (row == moved)


@settings(max_examples=1000, deadline=None)
@given(stored, stored)
def test_two_events_are_never_one(one: Stored, another: Stored) -> None:
    assert (encode(event_of(one)) == encode(event_of(another))) == (one == another)


@pytest.mark.parametrize("name", COLUMNS)
def test_nothing_is_told_from_an_empty_value(name: str) -> None:
    event = event_of(ROW)
    empty = {int: 0, str: ""}[type(event[name])] if name not in NEVER_EMPTY else None
    nothing = encode({**event, name: None})
    if empty is not None:
        assert nothing != encode({**event, name: empty})
    assert nothing != encode(event)
    with pytest.raises(Refused, match=name):
        encode({k: v for k, v in event.items() if k != name})


NEVER_EMPTY = {"state_sha256", "recorded_at"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("position", 7.0),
        ("position", True),
        ("position", "7"),
        ("position", 2**63),
        ("topic", 7),
        ("topic", "\ud800"),
        ("recorded_at", "2026-05-04T00:00:00Z"),
        ("recorded_at", "2026-05-04T00:00:00.000000+00:00"),
        ("recorded_at", "2026-5-04T00:00:00.000000Z"),
        ("state_sha256", "AB" * 32),
        ("state_sha256", "ab" * 31),
        ("state_sha256", " " + "ab" * 32),
    ],
)
def test_a_value_is_written_in_one_way(name: str, value: Any) -> None:
    with pytest.raises(Refused, match=name):
        encode({**event_of(ROW), name: value})


async def test_a_leaf_is_of_a_row_as_it_is_even_where_a_constraint_was_dropped(
    database: str,
) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("ALTER TABLE ledger_events ALTER actor DROP NOT NULL")
    row = (*ROW[:6], None, *ROW[7:])
    event = {**event_of(ROW), "actor": None}
    assert await in_postgres(database, [row]) == [leaf_hash(encode(event))]
    assert encode(event) != encode({**event, "actor": ""})


async def test_every_column_of_the_ledger_is_hashed_and_exported(database: str) -> None:
    async with await Postgres(database).connect() as connection:
        cursor = await connection.execute(
            "SELECT attname FROM pg_attribute WHERE attrelid = 'ledger_events'::regclass"
            " AND attnum > 0 AND NOT attisdropped"
        )
        stored = {name for (name,) in await cursor.fetchall()}
    renamed = {"notification_id": "position", "state": "state_sha256"}
    assert {renamed.get(name, name) for name in stored} == set(COLUMNS)
    a_line = line_of((1, "", 1, "", b"", datetime(2026, 5, 4, tzinfo=UTC), *[""] * 5))
    assert {*a_line} == {renamed.get(n, n) for n in stored} - {"state_sha256"} | {"state", "leaf"}
