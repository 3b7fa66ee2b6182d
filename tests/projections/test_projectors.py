"""From events to rows: whatever the batches, the tables show the aggregates as they are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.aggregate import Event
from domain.clients import Client
from projections.catalogue import DOCUMENTED
from projections.engine.folding import Changes, fold_batch
from projections.engine.table import Patch, Put, Remove
from projections.engine.writing import project
from projections.engine.writing import write as write_changes
from projections.trainings import TRAININGS, TRAININGS_EXERCISES
from tests.projections.histories import (
    ACTIONS,
    Choice,
    History,
    as_recorded,
    batches,
    every_row,
    rich,
    shown_by_aggregates,
    shown_by_tables,
)

Connection = psycopg.AsyncConnection[Any]

choices = st.lists(
    st.tuples(st.sampled_from(sorted(ACTIONS)), st.integers(0, 9), st.integers(0, 9)), max_size=40
)
sizes = st.lists(st.integers(1, 12), max_size=60)


@asynccontextmanager
async def undone(database: str) -> AsyncIterator[Connection]:
    """A connection with one transaction that is rolled back."""
    async with await psycopg.AsyncConnection.connect(
        database, options="-c timezone=UTC"
    ) as connection:
        yield connection
        await connection.rollback()


async def write(connection: Connection, parts: Iterable[Sequence[Event]]) -> None:
    """Project each part as the tail would; for the commit, only check the constraints."""
    head = 0
    for events in parts:
        await project(DOCUMENTED, as_recorded(events, head), connection)
        head += len(events)
        await connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
        await connection.execute("SET CONSTRAINTS ALL DEFERRED")


async def rows_of(database: str, parts: Iterable[Sequence[Event]]) -> list[tuple[str, str]]:
    async with undone(database) as connection:
        await write(connection, parts)
        return await every_row(connection)


def folded(events: Sequence[Event]) -> list[Changes]:
    return fold_batch(DOCUMENTED, as_recorded(events))


def one_by_one(events: Sequence[Event]) -> Iterator[list[Event]]:
    return ([event] for event in events)


# --- any history -------------------------------------------------------------------------------


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(choices, sizes)
def test_any_history_in_any_batches_shows_the_aggregates_as_they_are(
    database: str, choices: list[Choice], sizes: list[int]
) -> None:
    history = History.of(choices)

    async def show() -> dict[str, Any]:
        async with undone(database) as connection:
            await write(connection, batches(history.events, sizes))
            return await shown_by_tables(connection)

    shown, expected = asyncio.run(show()), shown_by_aggregates(history)
    for name, facts in expected.items():
        assert shown[name] == facts, name


async def test_a_rich_history_gives_the_same_rows_one_by_one_and_all_at_once(database: str) -> None:
    events = rich(600).events
    kinds = {type(event).TOPIC for event in events}
    assert len(kinds) > 40, "it has nearly everything in it"
    together = await rows_of(database, [events])
    assert together == await rows_of(database, one_by_one(events))
    assert len(together) > 500


# --- folding -----------------------------------------------------------------------------------


def drawn(*choices: Choice) -> list[Event]:
    """What these actions add to the club's opening."""
    return History.of(choices).events[len(History.of([]).events) :]


async def after(database: str, *choices: Choice) -> dict[str, Any]:
    """What the tables show when the opening came in one batch, and these actions in another."""
    async with undone(database) as connection:
        await write(connection, [History.of([]).events, drawn(*choices)])
        return await shown_by_tables(connection)


def test_what_comes_and_goes_within_a_batch_is_never_written() -> None:
    (changes,) = folded(drawn(("plan_training", 0, 2), ("delete_training", 2, 0)))
    assert isinstance(changes, Changes)
    tables = changes.tables
    assert tables["trainings"].puts == {}
    assert tables["trainings"].removes == set()
    assert tables["trainings_exercises"].puts == {}


def test_a_row_is_written_once_a_batch_however_often_it_changed() -> None:
    (changes,) = folded(drawn(*(("change_client", 0, number) for number in range(1, 6))))
    assert isinstance(changes, Changes)
    assert list(changes.tables["clients"].patches) == [(1,)]
    assert changes.tables["clients"].patches[(1,)]["first_name"] == "Name 5"


async def test_an_insert_an_update_and_a_delete_in_one_batch_leave_nothing(database: str) -> None:
    shown = await after(
        database, ("plan_training", 0, 5), ("change_training", 2, 3), ("delete_training", 2, 0)
    )
    assert [training["id"] for training in shown["trainings"]] == [1, 2]
    assert shown["versions"]["training-3"] > 1, "its version is remembered"


async def test_an_exercise_taken_out_and_put_back_in_one_batch_is_the_new_one(
    database: str,
) -> None:
    shown = await after(
        database,
        ("remove_exercise_from_training", 1, 0),
        ("add_exercise_to_training", 1, 0),
        ("change_exercise_in_training", 1, 7),
    )
    (row,) = [row for row in shown["exercises of trainings"] if row["training_id"] == 2]
    assert (row["order_in_training"], row["sets"], row["extra_weight"]) == (1, 7, "7.25")


@pytest.mark.parametrize("action", ["swap_usernames", "swap_memberships"])
async def test_values_that_are_unique_may_be_swapped_in_one_batch(
    database: str, action: str
) -> None:
    history = History.of([(action, 0, 1)])
    shown = await after(database, (action, 0, 1))
    assert shown["users"] == shown_by_aggregates(history)["users"]
    assert shown["clients"] == shown_by_aggregates(history)["clients"]
    assert shown["clients"] != (await after(database))["clients"] or action == "swap_usernames"
    assert shown["users"] != (await after(database))["users"] or action == "swap_memberships"


async def test_a_key_that_is_given_away_again_holds_the_new_row(database: str) -> None:
    row = {"training_id": 2, "exercise_id": 1, "order_in_training": 9, "sets": 1}
    async with undone(database) as connection:
        await write(connection, [History.of([]).events])
        changes = Changes(
            Remove(TRAININGS_EXERCISES, (2, 1)),
            Put(TRAININGS_EXERCISES, row),
            Remove(TRAININGS_EXERCISES, (2, 1)),
            Put(TRAININGS_EXERCISES, row),
            Patch(TRAININGS_EXERCISES, (2, 1), {"sets": 2}),
            Patch(TRAININGS, (2,), {"title": "patched"}),
        )
        await write_changes(DOCUMENTED, [changes], connection)
        cursor = await connection.execute(
            "SELECT order_in_training, sets FROM trainings_exercises"
            " WHERE (training_id, exercise_id) = (2, 1)"
        )
        assert await cursor.fetchall() == [(9, 2)]


# --- what goes with its parent -----------------------------------------------------------------


async def test_what_is_deleted_is_gone_from_all_tables_at_once(database: str) -> None:
    """Also while the words in the log that say so are in a batch to come."""
    opening = History.of([]).events
    deletion = drawn(("delete_client", 1, 0))
    assert type(deletion[0]).TOPIC == "client.deleted"
    assert len(deletion) > 2
    async with undone(database) as connection:
        await write(connection, [opening, deletion[:1]])
        first = await shown_by_tables(connection)
        await write(connection, [deletion[1:]])
        second = await shown_by_tables(connection)
    assert first | {"versions": {}} == second | {"versions": {}}
    assert [row["id"] for row in second["trainings"]] == [1]
    assert {row["client_id"] for row in second["pinned"]} == {1}


async def test_what_the_log_deletes_in_words_needs_no_foreign_key(database: str) -> None:
    events = rich(300, seed=11).events
    with_keys = await rows_of(database, one_by_one(events))
    async with undone(database) as connection:
        cursor = await connection.execute(
            "SELECT conrelid::regclass::text, quote_ident(conname) FROM pg_constraint"
            " WHERE contype = 'f' AND connamespace = 'public'::regnamespace"
        )
        keys = await cursor.fetchall()
        assert len(keys) > 10
        for table, name in keys:
            await connection.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}".encode())
        await write(connection, one_by_one(events))
        assert await every_row(connection) == with_keys


async def test_a_training_given_to_another_client_outlives_its_first_one(database: str) -> None:
    shown = await after(
        database, ("change_client", 0, 1), ("reassign_training", 0, 1), ("delete_client", 0, 0)
    )
    assert {row["id"]: row["client_id"] for row in shown["trainings"]} == {1: 2, 2: 2}


async def test_a_membership_may_go_with_the_change_that_freed_it(database: str) -> None:
    """ON DELETE SET DEFAULT would empty the client's column if the change came after."""
    shown = await after(
        database, ("change_membership", 0, 1), ("move_client", 0, 0), ("delete_membership", 0, 0)
    )
    assert [row["id"] for row in shown["memberships"]] == [2, 3, 4]
    assert shown["clients"][0]["membership_id"] == 2


async def test_a_client_and_its_membership_may_go_in_one_batch(database: str) -> None:
    shown = await after(
        database,
        ("delete_membership", 1, 0),  # One that nobody holds goes first.
        ("delete_client", 0, 0),
        ("delete_membership", 0, 0),
    )
    assert [row["id"] for row in shown["memberships"]] == [2, 3]
    assert [row["id"] for row in shown["clients"]] == [2]


async def test_a_batch_may_end_between_a_deletion_and_what_follows_from_it(database: str) -> None:
    """An exercise becomes part of a training and is deleted; then the batch is full."""
    events = drawn(
        ("change_exercise", 1, 1), ("add_exercise_to_training", 0, 1), ("delete_exercise", 1, 0)
    )
    assert [type(event).TOPIC for event in events[-2:]] == [
        "exercise.deleted",
        "training.exercise-removed",
    ]
    async with undone(database) as connection:
        await write(connection, [History.of([]).events, events[:-1], events[-1:]])
        shown = await shown_by_tables(connection)
    assert [row["id"] for row in shown["exercises"]] == [1]


# --- reports -----------------------------------------------------------------------------------


def test_what_changes_users_after_a_report_waits_until_the_report_is_gathered() -> None:
    report: Choice = ("draw_up_report", 0, 0)
    steps = folded(drawn(("register_user", 0, 0), report, report, ("change_user", 0, 1)))
    assert [len(step.gathers) for step in steps] == [2, 0]
    assert "users" in steps[0].tables
    assert "users" in steps[1].tables


async def test_reports_in_one_batch_show_the_users_as_of_each_ones_event(database: str) -> None:
    steps: list[Choice] = [
        ("draw_up_report", 0, 0),
        ("register_user", 0, 0),
        ("draw_up_report", 0, 0),
        ("change_user", 0, 5),
        ("delete_user", 1, 0),
        ("draw_up_report", 0, 0),
        ("register_user", 0, 0),
    ]
    shown = await after(database, *steps)
    reports = shown["reports"]
    assert [len(reports[number]) for number in (1, 2, 3)] == [4, 5, 5]
    assert reports == History.of(steps).reported
    assert reports[2][0]["username"] == "user1"
    assert reports[3][0]["username"].startswith("user1-")
    assert reports[3][1]["deleted_at"] is not None
    assert "password_hash" not in str(reports)


def test_the_model_of_these_tests_plays_by_the_rules() -> None:
    history = rich(1500)
    holders = [client.membership_id for client in history.living(Client)]
    assert len(set(holders)) == len(holders) > 2
