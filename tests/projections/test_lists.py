"""Pages of lists: their SQL, and the cursors between them."""

from __future__ import annotations

import base64
from typing import Any

import orjson
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from application.ports.queries import PageRequest, UnreadableCursor
from projections import clients, exercises, training_plans, trainings, users
from projections.engine.lists import (
    Listing,
    page,
    read_cursor,
    total,
    write_cursor,
)

numbers = st.integers(-(2**31) + 1, 2**31 - 1)
texts = st.text().filter(lambda text: "\0" not in text)


def encoded(place: object) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(place)).decode().rstrip("=")


@given(st.none() | texts, st.lists(numbers, min_size=1, max_size=3))
def test_a_cursor_is_read_as_it_was_written(value: str | None, key: list[int]) -> None:
    cursor = write_cursor(value, key)
    assert read_cursor(cursor, len(key)) == [value, *key]
    assert cursor.isascii()
    assert not set(cursor) & set("+/=&? "), "it goes into a URL as it is"


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "not base64!",
        "é",
        "😀",
        "=",
        "AAAA",
        encoded("a text"),
        encoded({"id": 1}),
        encoded([]),
        encoded([None]),
        encoded([None, 1, 2]),
        encoded(["a", "1"]),
        encoded([None, None]),
        encoded([None, 1.0]),
        encoded([None, True]),
        encoded([None, 2**31]),
        encoded([None, -(2**31)]),
        encoded([None, [1]]),
        encoded([1, 1]),
        encoded([True, 1]),
        encoded(["\0", 1]),
        base64.urlsafe_b64encode(b"[null, NaN]").decode(),
        base64.urlsafe_b64encode(b"[" * 100_000).decode(),
        base64.urlsafe_b64encode(b'["\\ud800", 1]').decode(),
    ],
)
def test_what_is_no_cursor_of_this_list_is_refused(cursor: str) -> None:
    with pytest.raises(UnreadableCursor):
        read_cursor(cursor, 1)


@given(st.text())
def test_any_text_is_a_cursor_or_is_refused(text: str) -> None:
    try:
        place = read_cursor(text, 1)
    except UnreadableCursor:
        return
    assert len(place) == 2


@given(texts)
def test_what_comes_from_outside_is_a_parameter_and_never_sql(text: str) -> None:
    harmless = page(clients.LISTING, PageRequest({"first_name": "x"}, after=write_cursor("x", [1])))
    wanted = PageRequest({"first_name": text}, after=write_cursor(text, [1]))
    statement = page(clients.LISTING, wanted)
    assert statement.sql == harmless.sql
    assert text in statement.params
    assert total(clients.LISTING, wanted).params == (text,)


def test_a_sort_that_the_list_does_not_have_is_a_mistake_of_ours() -> None:
    with pytest.raises(KeyError):
        page(clients.LISTING, PageRequest(sort="phone_number; DROP TABLE clients"))


@pytest.mark.parametrize(
    ("wanted", "params"),
    [
        (PageRequest(), [51]),
        (PageRequest(limit=1), [2]),
        (PageRequest(owner=7), [7, 51]),
        (PageRequest({"user_id": 3}, owner=7, limit=10), [3, 7, 11]),
        (PageRequest(after=write_cursor("5", [5])), [5, 51]),
        (PageRequest(sort="-id", after=write_cursor("5", [5])), [5, 51]),
        (
            PageRequest(sort="-status", after=write_cursor("ACTIVE", [5])),
            ["ACTIVE", "ACTIVE", 5, 51],
        ),
        (PageRequest(sort="gender", after=write_cursor(None, [5])), [5, 51]),
    ],
)
def test_a_page_asks_for_one_row_more_than_it_shows(wanted: PageRequest, params: list[Any]) -> None:
    statement = page(clients.LISTING, wanted)
    assert list(statement.params) == params
    assert statement.sql.count("%s") == len(params)


def test_equal_pages_are_equal_statements_and_others_are_not() -> None:
    """Equal ones that are asked for at once are run once."""
    wanted = PageRequest({"user_id": 3}, limit=10)
    assert page(clients.LISTING, wanted) == page(
        clients.LISTING, PageRequest({"user_id": 3}, limit=10)
    )
    others = [
        PageRequest({"user_id": 4}, limit=10),
        PageRequest({"user_id": 3}, limit=10, owner=1),
        PageRequest(),
    ]
    assert page(clients.LISTING, wanted) not in [page(clients.LISTING, other) for other in others]


@pytest.mark.parametrize(
    ("listing", "keys"),
    [
        (users.LISTING, ("u.id",)),
        (trainings.EXERCISES_LISTING, ("te.training_id", "te.exercise_id")),
        (training_plans.PINNED_LISTING, ("cp.client_id", "cp.training_plan_id")),
    ],
)
def test_a_list_without_a_sort_is_in_the_order_of_its_key(
    listing: Listing, keys: tuple[str, ...]
) -> None:
    assert listing.keys == keys
    order = ", ".join([f"{keys[0]} ASC", *keys[1:]])
    assert f"ORDER BY {order} LIMIT" in page(listing, PageRequest()).sql


@pytest.mark.parametrize("sort", ["", "id", "-id"])
async def test_a_page_in_the_order_of_the_key_does_not_look_at_the_pages_before(
    database: str, sort: str
) -> None:
    """However far in the list it is: the key's index leads to its first row."""
    statement = page(exercises.LISTING, PageRequest(sort=sort, after=write_cursor("5000", [5000])))
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        await connection.execute(
            "INSERT INTO exercises (id, title) SELECT n, 'Exercise ' || n "
            "FROM generate_series(1, 10000) AS n"
        )
        await connection.execute("ANALYZE exercises")
        explain = f"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) {statement.sql}"
        rows = await (await connection.execute(explain.encode(), statement.params)).fetchall()
    plan = "\n".join(row[0] for row in rows)
    assert "using exercises_pkey" in plan
    assert "Rows Removed" not in plan
    assert "Sort" not in plan
