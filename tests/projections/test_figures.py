"""The figures that the club is run by, over random histories, against a count by hand."""

from __future__ import annotations

import asyncio
import threading
import tracemalloc
import zoneinfo
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import count, pairwise
from typing import Any, cast

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from application.figures import By, Figures, Period
from application.ports.figures import Wanted
from application.ports.services import Zone
from application.reporting import cohorts
from application.reporting.reports import Reports
from application.reporting.shaping import cut
from application.spans import (
    FIRST_DAY,
    LAST_DAY,
    DayOutOfReach,
    SpanEndsFirst,
    TooManyPeriods,
    by_month,
    span_of,
)
from domain import clients, exercises, memberships, payments, training_plans, trainings
from domain.admissions import Admission
from domain.aggregate import Event, Facts, text_time, time_text
from domain.clients import Client
from domain.days import zone
from domain.exercises import Exercise
from domain.memberships import Membership
from domain.money import Source
from domain.payments import Payment
from domain.refusals import Invalid
from domain.training_plans import TrainingPlan
from domain.trainings import Training
from domain.values import ClientStatus, PaymentStatus
from infra.following.projecting import Projector
from infra.following.rebuilding import rebuild
from infra.following.refreshing import RefreshStopped, refresh
from infra.following.watch import Watch
from infra.ledger.history import PostgresHistory
from infra.ledger.postgres import Postgres
from infra.ledger.schema import LOCK
from projections.catalogue import DOCUMENTED, FIGURES
from projections.engine.writing import project
from projections.figures.bins import anywhere_in_month, quarter
from projections.figures.reading import FigureTables
from tests.projections.histories import (
    ACTIONS,
    DOING,
    Choice,
    History,
    as_recorded,
    batches,
    insert,
    record,
    rich,
)

Connection = psycopg.AsyncConnection[Any]

ZONES = (
    "UTC",
    "Europe/Berlin",
    "Asia/Kathmandu",
    "America/St_Johns",
    "Pacific/Kiritimati",
    "Etc/GMT+12",
)
MOVED: dict[type[Any], str] = {
    payments.Settled: "settled",
    payments.Refunded: "refunded",
    payments.CollectedAgain: "collected_twice_amount",
    payments.SecondCollectionReturned: "returned_amount",
}
SINCE = "2026-01-01T08:00:00.000000Z"
BACK_FROM = {"EXPIRED", "INACTIVE", "CANCELLED"}

actions = st.sampled_from(sorted(ACTIONS))
choices = st.lists(st.tuples(actions, st.integers(0, 9), st.integers(0, 9)), max_size=60)
sizes = st.lists(st.integers(1, 12), max_size=60)
steps = st.integers(1, 60 * 60).map(lambda minutes: timedelta(minutes=minutes))

EVERY_ROW = " UNION ALL ".join(
    f"SELECT '{table.name}', t::text FROM {table.name} AS t" for table in FIGURES.tables
)


class Now:
    def __init__(self, now: datetime) -> None:
        self._now = now

    def now(self) -> datetime:
        return self._now


async def nobody_says() -> datetime | None:
    return None


def reports(connection: Connection, timezone: str, now: datetime) -> Reports:
    async def rows(sql: str, params: Sequence[Any]) -> list[tuple[Any, ...]]:
        return await (await connection.execute(sql.encode(), params)).fetchall()

    async def its_zone() -> Zone:
        return Zone(timezone, SINCE)

    return Reports(FigureTables(rows, nobody_says), its_zone, Now(now))


@asynccontextmanager
async def undone(database: str) -> AsyncIterator[Connection]:
    """A connection in a transaction that is rolled back."""
    async with await psycopg.AsyncConnection.connect(database) as connection:
        yield connection
        await connection.rollback()


async def written(connection: Connection, parts: Iterable[Sequence[Event]]) -> list[Any]:
    head = 0
    for events in parts:
        await project(FIGURES, as_recorded(events, head), connection)
        head += len(events)
    return await written_rows(connection)


async def written_rows(connection: Connection) -> list[Any]:
    return await (await connection.execute(f"{EVERY_ROW} ORDER BY 1, 2".encode())).fetchall()


# --- a count by hand -----------------------------------------------------------------------------


class ByHand:
    """What happened on each day of a zone, one event after the other."""

    def __init__(self, events: Iterable[Event], timezone: str) -> None:
        self._zone = zone(timezone)
        self.moves: list[tuple[date, str, str, int]] = []
        self.money: list[tuple[date, str, str, Decimal]] = []
        self.plans: list[tuple[date, str, str]] = []
        self.pins: list[tuple[date, int]] = []
        self.joined: dict[int, date] = {}
        self.held: dict[int, dict[str, Any]] = {}
        self.lives: dict[int, list[Event]] = {}
        self._status: dict[str, str] = {}
        self._levels: dict[int, str] = {}
        self._asked: dict[int, tuple[datetime, str, Decimal]] = {}
        self._status_of: dict[int, str] = {}
        self.took: list[tuple[date, timedelta]] = []
        self.exercises: dict[int, tuple[str, str]] = {}
        for event in events:
            self._take(event)

    def _day(self, moment: datetime | str) -> date:
        at = moment if isinstance(moment, datetime) else text_time(moment)
        return at.astimezone(self._zone).date()

    def _stand(self, event: Event, status: str) -> tuple[date, str, str]:
        before = self._status.get(event.originator_id, "NEW")
        self._status[event.originator_id] = status
        return self._day(event.timestamp), before, status

    def _take(self, event: Event) -> None:
        match event:
            case memberships.Added():
                self._levels[event.number] = event.access_level or "NONE"
            case memberships.DetailsChanged(changes=changes) if "access_level" in changes:
                self._levels[event.number] = changes["access_level"] or "NONE"
            case _:
                takes = {"client": self._take_client, "training-plan": self._take_plan}
                takes |= {"payment": self._take_payment, "training": self._take_training}
                takes |= {"exercise": self._take_exercise}
                takes.get(event.kind, lambda _: None)(event)

    def _take_client(self, event: Event) -> None:
        self.lives.setdefault(event.number, []).append(event)
        match event:
            case clients.Registered():
                self.joined[event.number] = self._day(event.timestamp)
                self.moves.append((*self._stand(event, event.status), event.number))
            case clients.StatusEvent():
                status = clients.STATUS_AFTER[type(event)].value
                self.moves.append((*self._stand(event, status), event.number))
            case clients.Deleted():
                self.moves.append((*self._stand(event, "GONE"), event.number))
            case _:
                pass

    def _take_plan(self, event: Event) -> None:
        match event:
            case training_plans.DrawnUp():
                self.plans.append(self._stand(event, event.status))
            case training_plans.StatusEvent():
                status = training_plans.STATUS_AFTER[type(event)].value
                self.plans.append(self._stand(event, status))
            case training_plans.Deleted():
                self.plans.append(self._stand(event, "GONE"))
            case training_plans.PinnedToClient():
                self.pins.append((self._day(event.timestamp), 1))
            case training_plans.UnpinnedFromClient():
                self.pins.append((self._day(event.timestamp), -1))
            case _:
                pass

    def _take_payment(self, event: Any) -> None:
        number = event.number
        match event:
            case payments.Requested():
                level = self._levels.get(event.membership_id, "NONE")
                amount = Decimal(event.amount or 0)
                self._asked[number] = text_time(event.occurred_at), level, amount
                self._status_of[number] = "PENDING"
            case payments.DetailsChanged():
                self._put_right(number, event.changes)
            case payments.Deleted():
                del self._asked[number]
            case _ if type(event) in MOVED:
                self._move(event.occurred_at, number, MOVED[type(event)])
            case _:
                pass
        if isinstance(event, payments.StepEvent):
            if isinstance(event, payments.Settled) and self._status_of[number] != "REFUNDED":
                came = text_time(event.occurred_at)
                self.took.append((self._day(came), came - self._asked[number][0]))
            self._status_of[number] = payments.STATUS_AFTER[type(event)].value

    def _put_right(self, number: int, changes: dict[str, Any]) -> None:
        asked, level, amount = self._asked[number]
        if "timestamp" in changes and self._status_of[number] == "PENDING":
            asked = text_time(changes["timestamp"])
        if "membership_id" in changes:
            level = self._levels.get(changes["membership_id"], "NONE")
        if "amount" in changes:
            amount = Decimal(changes["amount"] or 0)
        self._asked[number] = asked, level, amount

    def _move(self, moment: str, number: int, what: str) -> None:
        _, level, amount = self._asked[number]
        self.money.append((self._day(moment), level, what, amount))

    def _take_training(self, event: Event) -> None:
        match event:
            case trainings.Planned():
                self.held[event.number] = {"date": event.date, "exercises": set()}
            case trainings.DetailsChanged(changes=changes):
                self.held[event.number] |= {
                    name: changes[name] for name in ("date",) if name in changes
                }
            case trainings.Deleted() if not self._is_over(event):
                del self.held[event.number]
            case trainings.ExerciseAdded():
                self.held[event.number]["exercises"].add(event.exercise_id)
            case trainings.ExerciseRemoved() if not self._is_over(event):
                self.held[event.number]["exercises"].discard(event.exercise_id)
            case _:
                pass

    def _is_over(self, event: Event) -> bool:
        day = self.held[event.number]["date"]
        return day is not None and date.fromisoformat(day) < event.timestamp.astimezone(UTC).date()

    def _take_exercise(self, event: Event) -> None:
        title, group = self.exercises.get(event.number, ("", ""))
        match event:
            case exercises.Added():
                title, group = event.title, event.muscle_group or "NONE"
            case exercises.Retitled():
                title = event.title
            case exercises.DetailsChanged(changes=changes):
                group = changes.get("muscle_group", group) or "NONE"
            case _:
                pass
        self.exercises[event.number] = title, group

    # --- what a report has to say ----------------------------------------------------------

    def active(self, by: date, status: str = "ACTIVE") -> int:
        moved = [(was, after) for day, was, after, _ in self.moves if day <= by]
        return sum((after == status) - (was == status) for was, after in moved)

    def members(self, by: date) -> int:
        """Who is let in for good, and was ACTIVE before whatever pauses they are in."""
        then = [
            [one for one in life if self._day(one.timestamp) <= by] for life in self.lives.values()
        ]
        return sum(is_member(life) for life in then)

    def provisional(self, by: date) -> int:
        """Who is ACTIVE, and was let in provisionally and by nothing else."""
        then = [
            [one for one in life if self._day(one.timestamp) <= by] for life in self.lives.values()
        ]
        return sum(bool(life) and stands(life)[-1] == "ACTIVE" and waits(life) for life in then)

    def ended(self, span: tuple[date, date], *kinds: type[Event]) -> int:
        """How often a member ceased to be one, by an event of these kinds."""
        return sum(
            isinstance(life[at], kinds) and is_member(life[:at]) and not is_member(life[: at + 1])
            for life in self.lives.values()
            for at, one in enumerate(life)
            if span[0] <= self._day(one.timestamp) <= span[1]
        )

    def came(self, span: tuple[date, date], rule: Callable[[str, str], bool]) -> int:
        first, last = span
        return sum(rule(was, after) for day, was, after, _ in self.moves if first <= day <= last)

    def amount(self, span: tuple[date, date], what: str) -> Decimal:
        moved = [m for d, _, w, m in self.money if w == what and span[0] <= d <= span[1]]
        return sum(moved, Decimal(0))

    def asked(self, span: tuple[date, date]) -> Decimal:
        asked = [(self._day(at), amount) for at, _, amount in self._asked.values()]
        return sum((amount for day, amount in asked if span[0] <= day <= span[1]), Decimal(0))

    def owed(self, since: datetime, until: datetime) -> tuple[int, Decimal]:
        """What was asked for from one moment until before another, and is still to come."""
        debts = [
            amount
            for number, (at, _, amount) in self._asked.items()
            if since <= at < until and self._status_of[number] in {"PENDING", "FAILED"}
        ]
        return len(debts), sum(debts, Decimal(0))

    def settled_after(self, more: timedelta, most: timedelta, span: Period) -> int:
        """How many payments took longer than one time, and up to another."""
        took = [took for day, took in self.took if span.first <= day <= span.last]
        return sum(more < max(one, timedelta(0)) <= most for one in took)

    def used(self, span: Period) -> Counter[int]:
        """In how many trainings of these days each exercise is."""
        return Counter(
            number
            for one in self.held.values()
            if one["date"] and span.first <= date.fromisoformat(one["date"]) <= span.last
            for number in one["exercises"]
        )

    def still(self, month: tuple[int, int], by: date) -> int:
        """Of those who joined in a month, how many are ACTIVE at the end of a day."""
        cohort = {n for n, day in self.joined.items() if (day.year, day.month) == month}
        moved = [(was, after) for day, was, after, n in self.moves if n in cohort and day <= by]
        return sum((after == "ACTIVE") - (was == "ACTIVE") for was, after in moved)


def stands(life: Sequence[Event]) -> list[str]:
    """What a client was, one after the other."""
    return [
        one.status
        if isinstance(one, clients.Registered)
        else "GONE"
        if isinstance(one, clients.Deleted)
        else clients.STATUS_AFTER[type(one)].value
        for one in life
        if isinstance(one, clients.Registered | clients.StatusEvent | clients.Deleted)
    ]


def waits(life: Sequence[Event]) -> bool:
    """Whether the club waits for a first payment."""
    kinds = {type(one) for one in life}
    return clients.AdmittedProvisionally in kinds and not kinds & {
        clients.Admitted,
        clients.DaysGranted,
    }


def is_member(life: Sequence[Event]) -> bool:
    lasting = [status for status in stands(life) if status not in {"ON_HOLD", "UPCOMING"}]
    return lasting[-1:] == ["ACTIVE"] and not waits(life)


def rows_of(figures: Figures, section: str) -> Iterator[dict[str, Any]]:
    return next(s for s in figures.sections if s.name == section).named()


def days(row: dict[str, Any]) -> tuple[date, date]:
    return date.fromisoformat(row["first"]), date.fromisoformat(row["last"])


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(choices, sizes, steps, st.sampled_from(ZONES), st.sampled_from(By))
def test_figures_are_those_of_a_count_by_hand_in_any_batches_and_any_zone(
    database: str,
    choices: list[Choice],
    sizes: list[int],
    step: timedelta,
    timezone: str,
    by: By,
) -> None:
    history = History.of(choices, step)
    events = history.events
    told = ByHand(events, timezone)
    halfway = events[len(events) // 2].timestamp
    last = max(event.timestamp for event in events) + timedelta(days=40)
    wanted = Wanted(date(2025, 12, 20), last.date(), by)

    async def look() -> None:
        async with undone(database) as connection:
            await written(connection, batches(events, sizes))
            found = reports(connection, timezone, last + 2 * DAY)
            for name, check in CHECKS.items():
                check(await found.figures(name, wanted), told)
            for now in (halfway, last - timedelta(days=40)):
                money = await reports(connection, timezone, now).figures("money", wanted)
                check_owed(money, told, now)
                check_endings(money, history.living(Client), now)

    asyncio.run(look())


def check_clients(figures: Figures, told: ByHand) -> None:
    for row in rows_of(figures, "periods"):
        span = days(row)
        assert row["active"] == told.active(span[1])
        assert row["on_hold"] == told.active(span[1], "ON_HOLD")
        assert row["joined"] == told.came(span, lambda was, _: was == "NEW")
        assert row["provisional"] == told.provisional(span[1])
        lapsed = told.came(span, lambda was, after: (was, after) == ("ACTIVE", "EXPIRED"))
        assert row["lapsed"] == lapsed
        assert row["returned"] == told.came(
            span, lambda was, after: was in BACK_FROM and after == "ACTIVE"
        )
        assert row["cancelled"] == told.came(
            span, lambda was, after: was != "NEW" and after == "CANCELLED"
        )
        began = told.members(span[0] - timedelta(days=1))
        ceased = told.ended(span, clients.StatusEvent, clients.Deleted)
        assert row["churn"] == (round(Decimal(ceased) / began, 4) if began else None)


def check_money(figures: Figures, told: ByHand) -> None:
    total = Counter[str]()
    for row in rows_of(figures, "periods"):
        span = days(row)
        assert row["asked"] == told.asked(span)
        for what in ("settled", "refunded", "collected_twice_amount", "returned_amount"):
            assert row[what] == told.amount(span, what)
        assert row["net"] == row["settled"] - row["refunded"]
        total["settled"] += row["settled"]
    by_level = {row["access_level"]: row["settled"] for row in rows_of(figures, "by_access_level")}
    assert sum(by_level.values()) == total["settled"]
    for level in ("VIP", "NONE"):
        settled = [m for _, of, what, m in told.money if of == level and what == "settled"]
        assert by_level.get(level, 0) == sum(settled)

    bounds = [timedelta(-1), timedelta(hours=1), timedelta(days=1), timedelta(7), timedelta.max]
    assert [row["payments"] for row in rows_of(figures, "durations")] == [
        told.settled_after(more, most, figures.span.whole) for more, most in pairwise(bounds)
    ]


def check_owed(figures: Figures, told: ByHand, now: datetime) -> None:
    quarter_begun = now.replace(minute=now.minute // 15 * 15, second=0, microsecond=0)
    bounds = [quarter_begun - timedelta(days=ago) for ago in (1, 7, 30)]
    bounds = [datetime.max.replace(tzinfo=UTC), *bounds, datetime.min.replace(tzinfo=UTC)]
    assert [(row["payments"], row["amount"]) for row in rows_of(figures, "outstanding")] == [
        told.owed(since, until) for until, since in pairwise(bounds)
    ]


def check_endings(figures: Figures, living: Sequence[Client], now: datetime) -> None:
    there = zone(figures.span.timezone)
    today = now.astimezone(there).date()
    ends = Counter(
        text_time(client.until).astimezone(there).date()
        for client in living
        if client.until is not None and client.status is ClientStatus.ACTIVE
    )
    assert [(row["day"], row["clients"]) for row in rows_of(figures, "ending")] == [
        ((today + timedelta(days=n)).isoformat(), ends[today + timedelta(days=n)])
        for n in range(30)
    ]


def check_trainings(figures: Figures, told: ByHand) -> None:
    dated = [date.fromisoformat(one["date"]) for one in told.held.values() if one["date"]]
    for row in rows_of(figures, "periods"):
        first, last = days(row)
        assert row["trainings"] == sum(first <= day <= last for day in dated)
    by_weekday = [row["trainings"] for row in rows_of(figures, "by_weekday")]
    within = [day for day in dated if figures.span.whole.first <= day <= figures.span.whole.last]
    assert by_weekday == [sum(day.weekday() == number for day in within) for number in range(7)]

    used = told.used(figures.span.whole)
    most = sorted(used.items(), key=lambda item: (-item[1], *told.exercises[item[0]], item[0]))[:20]
    assert [
        (row["title"], row["muscle_group"], row["trainings"])
        for row in rows_of(figures, "exercises")
    ] == [(*told.exercises[number], times) for number, times in most]
    groups = Counter[str]()
    for number, times in used.items():
        groups[told.exercises[number][1]] += times
    trained = {row["muscle_group"]: row["exercises"] for row in rows_of(figures, "muscle_groups")}
    assert trained == groups


def check_plans(figures: Figures, told: ByHand) -> None:
    for row in rows_of(figures, "periods"):
        first, last = days(row)
        moved = [(was, after) for day, was, after in told.plans if day <= last]
        assert row["active"] == sum((a == "ACTIVE") - (w == "ACTIVE") for w, a in moved)
        assert row["following"] == sum(pin for day, pin in told.pins if day <= last)
        completed = sum(
            after == "COMPLETED" for day, _, after in told.plans if first <= day <= last
        )
        assert row["completed"] == completed


def check_cohorts(figures: Figures, told: ByHand) -> None:
    months = [period.first for period in figures.span.periods]
    for number, row in enumerate(rows_of(figures, "cohorts")):
        month = date.fromisoformat(row["month"])
        of_month = (month.year, month.month)
        joined = [day for day in told.joined.values() if (day.year, day.month) == of_month]
        assert row["joined"] == len(joined)
        for later in range(min(24, len(months) - number)):
            ends = figures.span.periods[number + later].last
            known = row[f"after_{later}"]
            assert known is None or known == told.still(of_month, ends)


CHECKS: dict[str, Callable[[Figures, ByHand], None]] = {
    "clients": check_clients,
    "money": check_money,
    "trainings": check_trainings,
    "plans": check_plans,
    "cohorts": check_cohorts,
}


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(choices, sizes)
def test_rows_are_the_same_to_the_cent_in_any_batches(
    database: str, choices: list[Choice], sizes: list[int]
) -> None:
    events = History.of(choices).events

    async def look() -> tuple[list[Any], list[Any]]:
        async with undone(database) as connection:
            parts = await written(connection, batches(events, sizes))
        async with undone(database) as connection:
            return parts, await written(connection, [events])

    parts, at_once = asyncio.run(look())
    # Sums that came to nothing are rows of zeros, or were never made.
    assert [row for row in parts if row in at_once] == at_once


async def test_a_rebuild_and_two_refreshes_at_once_give_what_one_refresh_gives(
    database: str,
) -> None:
    events = rich(900).events
    await record(database, events)
    postgres = Postgres(database)
    told: list[int] = []
    taken = await asyncio.gather(
        refresh(postgres, FIGURES, told.append), refresh(postgres, FIGURES, told.append)
    )
    assert sum(taken) == sum(told) == len(events)
    async with undone(database) as connection:
        rows = await written_rows(connection)
        await connection.execute("UPDATE figures_money SET settled = settled + 0.01")
        await connection.commit()
    done = await rebuild(postgres, FIGURES)
    assert done.differing == ("figures_money",)
    async with undone(database) as connection:
        assert await written_rows(connection) == rows
    assert await refresh(postgres, FIGURES) == 0


async def test_a_refresh_that_is_ended_is_gone_on_with_from_where_it_was(database: str) -> None:
    events = rich(900).events
    await record(database, events)
    postgres = Postgres(database)
    begun = asyncio.Event()
    first = asyncio.create_task(refresh(postgres, FIGURES, lambda _: begun.set()))
    await begun.wait()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    rest = await refresh(postgres, FIGURES)
    assert 0 < rest < len(events)
    async with undone(database) as connection:
        rows = await written_rows(connection)
    async with undone(database) as connection:
        for table in FIGURES.tables:
            await connection.execute(f"TRUNCATE {table.name}".encode())
        assert rows == await written(connection, [events])


async def as_of(postgres: Postgres) -> datetime:
    tables = FigureTables(postgres.listing.rows, PostgresHistory(postgres).all_seen_by)
    cut = (["2026-01-01T00:00:00.000000Z"] * 2, ["2026-01-01"] * 2)
    return text_time((await tables.look([("money", *cut)]))["as_of"])


async def test_figures_never_claim_what_is_recorded_and_not_yet_seen(database: str) -> None:
    events = rich(60).events
    await record(database, events[:-2])
    async with Postgres(database).open() as postgres:
        await refresh(postgres, FIGURES)
        before = datetime.now(UTC)
        quiet = await as_of(postgres)
        assert quiet > before - timedelta(seconds=5)
        async with await psycopg.AsyncConnection.connect(database) as connection:
            await connection.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
            await insert(connection, events[-2:], head=len(events) - 2)
            told = await as_of(postgres)
            await connection.commit()
        async with undone(database) as connection:
            moments = "SELECT recorded_at FROM ledger_events ORDER BY notification_id DESC LIMIT 3"
            found = await (await connection.execute(moments)).fetchall()
        (_, first, last) = [moment for (moment,) in found]
        assert last - timedelta(seconds=5) < told < first
        assert await as_of(postgres) < first
        await refresh(postgres, FIGURES)
        assert await as_of(postgres) > first


async def test_figures_that_stand_still_hold_up_nothing_and_say_why(database: str) -> None:
    await record(database, rich(300).events)
    postgres = Postgres(database)
    async with undone(database) as connection:
        await connection.execute("UPDATE read_groups SET definition = 'x' WHERE name = 'figures'")
        await connection.commit()
    with pytest.raises(RefreshStopped, match="another release"):
        await refresh(postgres, FIGURES)
    documented = Projector(postgres, DOCUMENTED, Watch())
    async with await postgres.connect() as connection:
        assert await documented.step(connection) > 0


# --- spans, and days of any zone -----------------------------------------------------------------

EVERY_ZONE = sorted(zoneinfo.available_timezones() - {"localtime"})
moments = st.integers(946_684_800, 2_145_916_800).map(
    lambda seconds: time_text(datetime.fromtimestamp(seconds, UTC))
)


@given(moments, st.sampled_from(EVERY_ZONE))
def test_the_longest_span_in_a_month_is_in_the_month_of_each_moment_in_it(
    moment: str, name: str
) -> None:
    there = zone(name)

    def month(at: str) -> tuple[int, int]:
        local = text_time(at).astimezone(there)
        return local.year, local.month

    at = quarter(moment)
    if text_time(at).astimezone(there).date() == text_time(moment).astimezone(there).date():
        assert month(anywhere_in_month(at)) == month(moment)


def test_of_the_midst_of_a_month_there_is_one_span() -> None:
    day = datetime(2026, 3, 1, tzinfo=UTC)
    quarters = [time_text(day + timedelta(minutes=15 * n)) for n in range(31 * 96)]
    spans = {anywhere_in_month(quarter(at)) for at in quarters}
    assert len(spans) == 1 + (12 + 14) * 4


@pytest.mark.parametrize(
    ("timezone", "day", "hours"),
    [
        ("Europe/Berlin", date(2026, 3, 29), 23),
        ("Europe/Berlin", date(2026, 10, 25), 25),
        ("Australia/Lord_Howe", date(2026, 4, 5), 24.5),
        ("Atlantic/Azores", date(2026, 10, 25), 25),
        ("America/Sao_Paulo", date(2018, 11, 4), 23),
        ("Asia/Kathmandu", date(2026, 1, 1), 24),
    ],
)
async def test_a_day_counts_all_of_its_hours_once(
    database: str, timezone: str, day: date, hours: float
) -> None:
    span = span_of(Wanted(day, day, By.DAY), day, timezone)
    (begin, end), _ = cut(span)
    length = text_time(end) - text_time(begin)
    assert length == timedelta(hours=hours)
    inside = [text_time(begin), text_time(end) - timedelta(microseconds=1)]
    outside = [text_time(begin) - timedelta(microseconds=1), text_time(end)]
    events = [drawn_up(number, at) for number, at in enumerate([*inside, *outside], 1)]
    async with undone(database) as connection:
        await written(connection, [events])
        found = reports(connection, timezone, outside[1])
        (row,) = rows_of(await found.figures("plans", Wanted(day, day, By.DAY)), "periods")
        assert (row["drawn_up"], row["active"]) == (2, 3)


def drawn_up(number: int, at: datetime) -> Event:
    facts: Facts = {"user_id": 1, "title": "Plan", "description": None, "status": "ACTIVE"}
    (event,) = TrainingPlan.draw_up(number, facts, at).collect_events()
    return cast("Event", event)


TODAY = date(2026, 11, 27)


def test_cohorts_of_all_days_that_can_be_asked_for_are_followed_for_two_years_alone() -> None:
    span = by_month(span_of(Wanted(FIRST_DAY, LAST_DAY), TODAY, "UTC"))
    tracemalloc.start()
    shown, retention = cohorts.sections(span, LAST_DAY, [[(0, 0, 2, 2), (0, 3, 0, -1)]])
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 20_000_000
    assert [len(shown.rows), len(retention.rows)] == [230 * 12, 25]
    assert shown.rows[0] == ("1970-01-01", 2, 2, 2, 2, *[1] * 22)
    assert shown.rows[-2][1:] == (0, 0, 0, *[None] * 23)


class Answers:
    """Answers that note in which thread anybody looks at them."""

    def __init__(self) -> None:
        self.threads: set[int] = set()

    def __iter__(self) -> Iterator[Sequence[Any]]:
        self.threads.add(threading.get_ident())
        return iter(())

    def __getitem__(self, index: int) -> Sequence[Any]:
        raise IndexError(index)

    def __len__(self) -> int:
        return 0


class NoRows:
    """Tables without rows."""

    def __init__(self) -> None:
        self.answers = Answers()

    async def look(self, asked: Sequence[Any]) -> dict[str, Any]:
        found = {"position": 0, "as_of": SINCE, "anything": False}
        return found | {"answers": [self.answers for _ in asked]}


async def test_nobody_else_waits_while_figures_are_put_together() -> None:
    rows = NoRows()

    async def its_zone() -> Zone:
        return Zone("UTC", SINCE)

    found = Reports(rows, its_zone, Now(datetime(2026, 11, 27, tzinfo=UTC)))
    for name in CHECKS:
        await found.figures(name, Wanted())
    await found.overview(Wanted())
    assert rows.answers.threads
    assert threading.get_ident() not in rows.answers.threads


@pytest.mark.parametrize(
    ("wanted", "first", "last", "by", "periods"),
    [
        (Wanted(), date(2026, 10, 29), TODAY, By.DAY, 30),
        (Wanted(first=date(2026, 1, 1)), date(2026, 1, 1), TODAY, By.MONTH, 11),
        (Wanted(last=date(2026, 1, 31)), date(2026, 1, 2), date(2026, 1, 31), By.DAY, 30),
        (Wanted(TODAY, TODAY, By.MONTH), TODAY, TODAY, By.MONTH, 1),
        (Wanted(date(2026, 11, 21), TODAY, By.WEEK), date(2026, 11, 21), TODAY, By.WEEK, 2),
        (Wanted(date(2030, 1, 1)), date(2030, 1, 1), date(2030, 1, 1), By.DAY, 1),
        (Wanted(date(2016, 11, 28), TODAY, By.DAY), date(2016, 11, 28), TODAY, By.DAY, 3652),
    ],
)
def test_a_span_is_cut_into_periods(
    wanted: Wanted, first: date, last: date, by: By, periods: int
) -> None:
    span = span_of(wanted, TODAY, "UTC")
    assert (span.whole, span.by, len(span.periods)) == (Period(first, last), by, periods)
    assert span.periods[0].first == first
    assert span.periods[-1].last == last
    for one, another in pairwise(span.periods):
        assert another.first == one.last + timedelta(days=1)


@pytest.mark.parametrize(
    ("wanted", "refusal", "field"),
    [
        (Wanted(TODAY, date(2026, 11, 26)), SpanEndsFirst, "to_date"),
        (Wanted(date(1926, 1, 1), TODAY, By.DAY), DayOutOfReach, "from_date"),
        (Wanted(date(1970, 1, 1), date(2069, 12, 31), By.DAY), TooManyPeriods, "by"),
        (Wanted(date.min, date.min), DayOutOfReach, "from_date"),
        (Wanted(last=date.min), DayOutOfReach, "from_date"),
        (Wanted(last=date.max), DayOutOfReach, "from_date"),
        (Wanted(TODAY, date.max, By.MONTH), DayOutOfReach, "to_date"),
    ],
)
def test_a_span_that_makes_no_sense_is_refused(
    wanted: Wanted, refusal: type[Invalid], field: str
) -> None:
    with pytest.raises(refusal) as refused:
        span_of(wanted, TODAY, "UTC")
    assert refused.value.field == field


async def test_a_report_of_days_before_the_club_says_that_it_is_empty(database: str) -> None:
    events = rich(300).events
    async with undone(database) as connection:
        await written(connection, [events])
        found = reports(connection, "Europe/Berlin", events[-1].timestamp)
        overview = await found.overview(Wanted(date(2020, 1, 1), date(2020, 12, 31)))
        assert all(report.empty for report in overview.reports)
        assert len(overview.reports[0].span.periods) == 12
        now = await found.overview(Wanted())
        assert not any(report.empty for report in now.reports)
        assert next(line for line in now.headlines if line.name == "active").before == 0
        assert now.reports[0].position == 0
        assert {report.body()["timezone_since"] for report in now.reports} == {SINCE}


def client_who(*does: Callable[[Client], None], patience: timedelta | None = None) -> list[Event]:
    """A client of the first of May, and what becomes of them on the days that follow."""
    number = next(NUMBERS)
    facts: Facts = {
        "user_id": number,
        "membership_id": number,
        "first_name": "Ada",
        "last_name": "Lovelace",
        "phone_number": "+34 600 000000",
        "gender": None,
        "date_of_birth": "1990-04-17",
        "weight_kg": None,
        "height_sm": None,
        "status": "ACTIVE",
    }
    client = Client.register(number, facts, MAY, patience=patience)
    for do in does:
        do(client)
    return cast("list[Event]", client.collect_events())


NUMBERS = count(1)
MAY = datetime(2026, 5, 1, 9, tzinfo=UTC)
DAY = timedelta(days=1)


def becomes(status: ClientStatus, on: int) -> Callable[[Client], None]:
    return lambda client: client.change_status(status, MAY + on * DAY)


def pays(on: int) -> Callable[[Client], None]:
    at = MAY + on * DAY
    return lambda client: client.admit(Admission(next(NUMBERS), time_text(at), 30), at)


def lapses(on: int) -> Callable[[Client], None]:
    return lambda client: client.lapse(MAY + on * DAY)


async def clients_by_day(database: str, *lives: list[Event]) -> list[dict[str, Any]]:
    """The clients at the end of April, and of each of the first days of May."""
    async with undone(database) as connection:
        await written(connection, lives)
        found = reports(connection, "UTC", MAY + 50 * DAY)
        wanted = Wanted(date(2026, 4, 30), date(2026, 6, 15), By.DAY)
        return list(rows_of(await found.figures("clients", wanted), "periods"))


async def test_strangers_who_never_paid_are_no_members_who_were_lost(database: str) -> None:
    members = [client_who() for _ in range(4)]
    strangers = [client_who(lapses(2), patience=DAY) for _ in range(3)]
    late = client_who(lapses(2), pays(3), patience=DAY)
    by_day = await clients_by_day(database, *members, *strangers, late)
    assert [(row["active"], row["provisional"]) for row in by_day[1:5]] == [
        (8, 4),
        (8, 4),
        (4, 0),
        (5, 0),
    ]
    assert {row["churn"] for row in by_day} == {None, 0}
    assert [(row["lapsed"], row["returned"]) for row in by_day[2:5]] == [(0, 0), (4, 0), (0, 1)]


@pytest.mark.parametrize(
    "end",
    [ClientStatus.CANCELLED, ClientStatus.EXPIRED, ClientStatus.INACTIVE],
)
@pytest.mark.parametrize("pause", [ClientStatus.ON_HOLD, ClientStatus.UPCOMING])
async def test_a_pause_is_no_loss_and_an_end_after_it_is_one(
    database: str, pause: ClientStatus, end: ClientStatus
) -> None:
    stays = [client_who(), client_who(pays(0), patience=DAY)]
    leaves = client_who(becomes(pause, 2), becomes(end, 4))
    deleted = client_who(becomes(pause, 2), lambda client: client.delete(MAY + 4 * DAY))
    by_day = await clients_by_day(database, *stays, leaves, deleted)
    assert [row["active"] for row in by_day[1:6]] == [4, 4, 2, 2, 2]
    assert [row["churn"] for row in by_day[2:6]] == [0, 0, 0, Decimal("0.5")]


async def test_who_lapses_and_pays_again_lapsed_and_returned(database: str) -> None:
    by_day = await clients_by_day(database, client_who(pays(0), lapses(31), pays(33), patience=DAY))
    assert [(row["lapsed"], row["returned"], row["churn"]) for row in by_day[32:36]] == [
        (1, 0, 1),
        (0, 0, None),
        (0, 1, None),
        (0, 0, 0),
    ]


async def test_periods_to_come_have_no_figures_but_what_is_planned(database: str) -> None:
    async with undone(database) as connection:
        await written(connection, [[squat(), *with_exercise(lambda _: None)], client_who()])
        found = reports(connection, "UTC", MAY)
        wanted = Wanted(date(2026, 4, 30), date(2026, 5, 10), By.DAY)
        for name in ("clients", "money", "plans", "trainings"):
            report = await found.figures(name, wanted)
            assert report.unfinished == MAY.date()
            _, today, *ahead = rows_of(report, "periods")
            assert None not in {today[name] for name in ("active", "net") if name in today}
            planned = [row.pop("trainings", None) for row in ahead]
            assert planned[-1] == (1 if name == "trainings" else None)
            hours = [row.pop("hours", None) for row in ahead]
            assert name == "trainings" or not any(hours)
            known = [{name for name, value in row.items() if value is not None} for row in ahead]
            assert known == [{"first", "last"}] * 9
        overview = await found.overview(Wanted(date(2026, 5, 2), date(2026, 5, 3)))
        headlines = {line.name: (line.now, line.before) for line in overview.headlines}
        assert headlines["active"] == (None, 1)
        assert overview.body()["unfinished"] is None


async def test_a_settled_day_keeps_its_figure_and_a_refund_counts_on_its_own(
    database: str,
) -> None:
    asked, day = datetime(2026, 5, 1, 9, tzinfo=UTC), timedelta(days=1)
    membership = Membership.add(
        1, {"access_level": "VIP", "description": None, "price": "19.90"}, asked
    )
    payment = Payment.request(1, 1, 1, asked, asked, amount="19.90")
    payment.report(PaymentStatus.PAID, asked + day, asked + day, Source("a", "1"))
    payment.report(PaymentStatus.REFUNDED, asked + 3 * day, asked + 3 * day, Source("a", "1"))
    membership.change({"price": "99.00", "access_level": "TRIAL"}, asked + day)
    added, *changed = membership.collect_events()
    requested, *reported = payment.collect_events()
    events = [added, requested, *changed, *reported]
    async with undone(database) as connection:
        await written(connection, [cast("list[Event]", events)])
        found = reports(connection, "UTC", asked + 5 * day)
        money = await found.figures("money", Wanted(date(2026, 5, 1), date(2026, 5, 4), By.DAY))
        rows = list(rows_of(money, "periods"))
        (level,) = rows_of(money, "by_access_level")
    assert [str(row["settled"]) for row in rows] == ["0.00", "19.90", "0.00", "0.00"]
    assert [str(row["refunded"]) for row in rows] == ["0.00", "0.00", "0.00", "19.90"]
    assert [str(row["net"]) for row in rows] == ["0.00", "19.90", "0.00", "-19.90"]
    assert (rows[1]["hours"], level["access_level"]) == (Decimal("24.00"), "VIP")


async def test_time_ends_on_the_day_of_the_club_where_days_begin_within_an_hour(
    database: str,
) -> None:
    midnight = datetime(2026, 5, 10, 18, 15, tzinfo=UTC)  # in Kathmandu
    lives = [client_who(patience=end - MAY) for end in (midnight - timedelta(minutes=1), midnight)]
    async with undone(database) as connection:
        await written(connection, lives)
        money = await reports(connection, "Asia/Kathmandu", MAY).figures("money", Wanted())
        ends = {row["day"]: row["clients"] for row in rows_of(money, "ending")}
    assert len(ends) == 30
    assert {day: number for day, number in ends.items() if number} == {
        "2026-05-10": 1,
        "2026-05-11": 1,
    }


@pytest.mark.parametrize(("on", "trainings_then"), [(9, 0), (10, 0), (11, 1)])
async def test_a_training_that_took_place_stays_counted_when_it_is_deleted(
    database: str, on: int, trainings_then: int
) -> None:
    at = MAY.replace(day=on)
    events = [squat(), *with_exercise(lambda training: training.delete(at))]
    async with undone(database) as connection:
        await written(connection, [events])
        found = await reports(connection, "UTC", at).figures("trainings", TENTH)
        (row,) = rows_of(found, "periods")
        used = [row["trainings"] for row in rows_of(found, "exercises")]
    assert (row["trainings"], used) == (trainings_then, [1] * trainings_then)


async def test_an_exercise_of_a_training_that_took_place_is_counted_once(database: str) -> None:
    def anew(training: Training) -> None:
        training.remove_exercise(1, MAY + 20 * DAY)
        training.add_exercise(1, DOING, MAY + 21 * DAY)

    def twice(training: Training) -> None:
        anew(training)
        training.remove_exercise(1, MAY + 22 * DAY)

    for does in (anew, twice):
        async with undone(database) as connection:
            await written(connection, [[squat(), *with_exercise(does)]])
            found = await reports(connection, "UTC", MAY).figures("trainings", TENTH)
            assert [row["trainings"] for row in rows_of(found, "exercises")] == [1]


TENTH = Wanted(date(2026, 5, 10), date(2026, 5, 10), By.DAY)


def squat() -> Event:
    facts: Facts = {
        "title": "Squat",
        "description": None,
        "muscle_group": "LEGS",
        "equipment_required": False,
        "complexity_lvl": "MASTER",
    }
    (event,) = Exercise.add(1, facts, MAY).collect_events()
    return cast("Event", event)


def with_exercise(does: Callable[[Training], None]) -> list[Event]:
    """A training of the tenth of May with one exercise, and what is done to it."""
    facts: Facts = {
        "client_id": 1,
        "training_type": "YOGA",
        "title": "Morning",
        "intensity": None,
        "duration_min": 60,
        "date": "2026-05-10",
        "description": None,
    }
    training = Training.plan(1, facts, MAY)
    training.add_exercise(1, DOING, MAY)
    does(training)
    return cast("list[Event]", training.collect_events())


async def test_a_failed_payment_that_is_put_right_was_asked_for_when_it_was(database: str) -> None:
    payment = Payment.request(1, 1, 1, MAY, MAY, amount="19.90")
    payment.change_details({"timestamp": time_text(MAY - DAY)}, MAY)
    payment.step(PaymentStatus.FAILED, MAY + DAY, MAY + DAY)
    payment.change_details({"timestamp": time_text(MAY + 3 * DAY)}, MAY + 4 * DAY)
    payment.step(PaymentStatus.PAID, MAY + 5 * DAY, MAY + 5 * DAY)
    async with undone(database) as connection:
        await written(connection, [cast("list[Event]", payment.collect_events())])
        found = reports(connection, "UTC", MAY + 6 * DAY)
        wanted = Wanted(date(2026, 4, 30), date(2026, 5, 6), By.DAY)
        rows = list(rows_of(await found.figures("money", wanted), "periods"))
    assert [row["asked_payments"] for row in rows] == [1, 0, 0, 0, 0, 0, 0]
    assert [row["hours"] for row in rows] == [*[None] * 6, 144]


def test_no_row_of_figures_says_who_somebody_is() -> None:
    personal = {"first_name", "last_name", "phone_number", "email", "username", "user_id"}
    for table in FIGURES.tables:
        assert not personal & set(table.columns.replace(",", " ").split())
