"""Reading the tables: rows by key, many at once, and lists from end to end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import orjson
import pytest

from application.ports.ledger import LedgerUnavailable
from application.ports.queries import Lookup, PageRequest, UnreadableCursor, View
from domain.clients import Client
from domain.exercises import Exercise
from domain.memberships import Membership
from domain.training_plans import TrainingPlan
from domain.trainings import Training
from domain.users import User
from infra.following.projecting import Projector
from infra.following.watch import Watch
from infra.ledger.postgres import Postgres
from infra.short_lived import InProcessStore, Marks
from projections.catalogue import DOCUMENTED
from projections.engine.lists import write_cursor
from projections.engine.reads import Reads, Rows
from projections.views import LISTINGS, LOOKUPS
from tests.conftest import database_of
from tests.projections.histories import History, record, rich

SORTS = [
    pytest.param(view, direction + column, id=f"{view} by {direction}{column}")
    for view, listing in LISTINGS.items()
    for column in listing.columns
    for direction in ("", "-")
    if not listing.comparisons
]


class Queries:
    """The database, with a count of what it is asked."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres
        self.asked: list[str] = []

    async def rows(self, sql: str, params: Sequence[Any]) -> list[tuple[Any, ...]]:
        self.asked.append(sql)
        return await self._postgres.rows(sql, params)


@pytest.fixture(scope="module")
def history() -> History:
    return rich(800)


@pytest.fixture(scope="module")
def showing(server: str, template: str, history: History) -> Iterator[str]:
    """A database that shows the history; nobody here changes it."""

    async def fill(database: str) -> None:
        await record(database, history.events)
        postgres = Postgres(database)
        async with await postgres.connect() as connection:
            while await Projector(postgres, DOCUMENTED, Watch()).step(connection):
                pass

    with database_of(server, template) as database:
        asyncio.run(fill(database))
        yield database


@pytest.fixture
async def queries(showing: str) -> AsyncIterator[Queries]:
    """What asks the database, with a count of its own."""
    postgres = Postgres(showing)
    async with postgres.open():
        yield Queries(postgres)


def reads_of(rows: Rows) -> Reads:
    """What asks these tables."""
    return Reads(rows, rows, Marks(InProcessStore()), LISTINGS, LOOKUPS)


# --- rows by key -------------------------------------------------------------------------------


async def test_rows_asked_for_at_once_are_one_query(queries: Queries, history: History) -> None:
    reads = reads_of(queries.rows)
    numbers = [client.number for client in history.living(Client)]
    assert len(numbers) > 5
    found = await asyncio.gather(
        *(reads.one(View.CLIENTS, number) for number in (*numbers, *numbers, 999_999))
    )
    assert len(queries.asked) == 1
    assert found[-1] is None
    for client, shown in zip(history.living(Client) * 2, found[:-1], strict=True):
        assert shown is not None
        assert (shown.owner, shown.version) == (client.user_id, client.version)
        assert orjson.loads(shown.body) == client.row()


async def test_rows_of_different_tables_are_not_mixed_up(
    queries: Queries, history: History
) -> None:
    reads = reads_of(queries.rows)
    membership, exercise = await asyncio.gather(
        reads.one(View.MEMBERSHIPS, history.living(Membership)[0].number),
        reads.one(View.EXERCISES, history.living(Exercise)[0].number),
    )
    assert membership is not None
    assert exercise is not None
    assert b'"price"' in membership.body
    assert b'"title"' in exercise.body


async def test_a_row_with_a_key_of_two_numbers_is_found_by_both(
    queries: Queries, history: History
) -> None:
    reads = reads_of(queries.rows)
    pinned = [
        (client_id, plan.number)
        for plan in history.living(TrainingPlan)
        for client_id in plan.pinned
    ]
    assert pinned
    found = await asyncio.gather(*(reads.one(View.PLANS_OF_CLIENTS, *k) for k in pinned))
    assert all(shown is not None for shown in found)
    assert len(queries.asked) == 1


def test_every_view_and_every_look_up_can_be_asked_for() -> None:
    assert LISTINGS.keys() == set(View)
    assert LOOKUPS.keys() == set(Lookup)


async def test_look_ups_find_numbers(queries: Queries, history: History) -> None:
    reads = reads_of(queries.rows)
    user = history.living(User)[0]
    assert await reads.find(Lookup.USER_NAMED, user.username.upper()) == [user.number]
    assert await reads.find(Lookup.USER_NAMED, "nobody of this name") == []
    plan = next(plan for plan in history.living(TrainingPlan) if plan.pinned)
    client = next(c for c in history.living(Client) if c.number in plan.pinned)
    following = await reads.find(Lookup.CLIENTS_FOLLOWING, plan.number, client.user_id)
    assert following == [client.number]
    assert await reads.find(Lookup.CLIENTS_FOLLOWING, plan.number, None) == []
    training = next(training for training in history.living(Training) if training.exercise_ids)
    (exercise, *_) = training.exercise_ids
    holding = [t.number for t in history.living(Training) if exercise in t.exercise_ids]
    found = await reads.find(Lookup.TRAININGS_HOLDING, exercise, None)
    assert set(found) <= set(holding)
    assert len(found) == min(2, len(holding))


async def test_no_row_shows_a_password(queries: Queries) -> None:
    reads = reads_of(queries.rows)
    for view in View:
        assert b"hash" not in (await reads.page(view, PageRequest(limit=500))).body


async def test_a_lost_database_is_told_to_all_who_asked() -> None:
    async def lost(sql: str, params: Sequence[Any]) -> list[tuple[Any, ...]]:
        raise LedgerUnavailable

    reads = reads_of(lost)
    answers = await asyncio.gather(
        reads.one(View.USERS, 1),
        reads.one(View.USERS, 2),
        reads.page(View.USERS, PageRequest()),
        reads.total(View.USERS, PageRequest()),
        return_exceptions=True,
    )
    assert [type(answer) for answer in answers] == [LedgerUnavailable] * 4


# --- lists -------------------------------------------------------------------------------------


async def walk(reads: Reads, view: View, wanted: PageRequest) -> list[list[dict[str, Any]]]:
    """All pages of a list."""
    pages, after = [], wanted.after
    while True:
        found = await reads.page(
            view, PageRequest(wanted.filters, wanted.sort, after, wanted.limit)
        )
        pages.append(orjson.loads(found.body))
        after = found.after
        if after is None:
            return pages


async def test_every_list_in_every_order_is_walked_from_end_to_end(queries: Queries) -> None:
    """Page by page, each row comes once, and in the order that the whole list has."""
    reads = reads_of(queries.rows)
    for case in SORTS:
        view, sort = case.values
        assert isinstance(view, View)
        whole = await walk(reads, view, PageRequest(sort=str(sort), limit=500))
        pages = await walk(reads, view, PageRequest(sort=str(sort), limit=7))
        assert len(whole) == 1, case.id
        assert whole[0], f"{case.id}: there is something to see"
        assert [row for page in pages for row in page] == whole[0], case.id
        assert all(len(page) == 7 for page in pages[:-1]), case.id


async def test_a_sort_is_by_value_and_rows_without_one_come_last(queries: Queries) -> None:
    reads = reads_of(queries.rows)
    for sort in ("gender", "-gender"):
        ((*rows,),) = await walk(reads, View.CLIENTS, PageRequest(sort=sort, limit=500))
        genders = [row["gender"] for row in rows]
        assert None in genders
        assert "OTHER" in genders
        assert genders == sorted(genders, key=lambda gender: gender is None)
    ((*newest,),) = await walk(reads, View.USERS_EVER, PageRequest(sort="-created_at", limit=500))
    created = [row["created_at"] for row in newest]
    assert created == sorted(created, reverse=True)
    assert len(set(created)) > 5


async def test_equal_pages_asked_for_at_once_are_run_once(queries: Queries) -> None:
    reads = reads_of(queries.rows)
    same = [reads.page(View.USERS, PageRequest(limit=5)) for _ in range(20)]
    other = reads.page(View.USERS, PageRequest(limit=6))
    found = await asyncio.gather(*same, other)
    assert len(queries.asked) == 2
    assert len({page.body for page in found[:20]}) == 1
    assert found[20].body != found[0].body


async def test_a_total_counts_all_that_the_filter_lets_through(queries: Queries) -> None:
    reads = reads_of(queries.rows)
    ((*shown,),) = await walk(reads, View.CLIENTS, PageRequest({"gender": "OTHER"}, limit=500))
    everybody = await reads.total(View.CLIENTS, PageRequest())
    others = await reads.total(View.CLIENTS, PageRequest({"gender": "OTHER"}, limit=1))
    assert others == len(shown)
    assert 0 < others < everybody


async def test_an_owner_sees_their_own_and_nothing_else(queries: Queries) -> None:
    reads = reads_of(queries.rows)
    ((first, *others),) = await walk(reads, View.CLIENTS, PageRequest(limit=500))
    assert others
    own = await reads.page(View.CLIENTS, PageRequest(owner=first["user_id"]))
    assert orjson.loads(own.body) == [first]


@pytest.mark.parametrize(
    ("view", "sort", "value"),
    [
        (View.CLIENTS, "date_of_birth", "not a day"),
        (View.CLIENTS, "status", "NO SUCH STATUS"),
        (View.CLIENTS, "user_id", "99999999999999999999"),
        (View.MEMBERSHIPS, "price", "much"),
        (View.USERS_EVER, "-created_at", "yesterday evening"),
        (View.EXERCISES, "equipment_required", "perhaps"),
    ],
)
async def test_a_cursor_that_does_not_fit_the_column_is_refused(
    queries: Queries, view: View, sort: str, value: str
) -> None:
    reads = reads_of(queries.rows)
    wanted = PageRequest(sort=sort, after=write_cursor(value, [1]))
    with pytest.raises(UnreadableCursor):
        await reads.page(view, wanted)
