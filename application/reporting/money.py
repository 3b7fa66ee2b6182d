"""The report on money: what was asked for, came, went back, and is still owed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from application.figures import By, Chart, Column, Draw, Period, Section, Span, Unit, Value
from application.ports.figures import MONEY_COUNTS, MONEY_SUMS
from application.reporting.shaping import FIRST, LAST, Counts, Rows, hours, money, named
from domain.aggregate import time_text
from domain.values import AccessLevel

ASKS = ("money",)
ASKS_NOW = ("outstanding",)
"""About periods by age."""
ASKS_NEXT = ("endings",)
"""About days to come."""

AGES = (("More than 30 days", None), ("7 to 30 days", 30), ("1 to 7 days", 7), ("Up to a day", 1))
"""How old a debt is, and how many days ago the youngest began."""

NEXT_DAYS = 30
"""Days for which it is told whose time ends; today is the first."""

TIMES = (
    ("within_hour", "Within an hour"),
    ("within_day", "Within a day"),
    ("within_week", "Within a week"),
    ("later", "Later"),
)

_AMOUNTS = (
    Column("asked", "Asked for", Unit.MONEY),
    Column("settled", "Settled", Unit.MONEY),
    Column("refunded", "Refunded", Unit.MONEY),
    Column("net", "Net (settled less refunded)", Unit.MONEY),
    Column("asked_payments", "Payments asked for", Unit.COUNT),
    Column("settled_payments", "Payments settled", Unit.COUNT),
    Column("refunded_payments", "Payments refunded", Unit.COUNT),
    Column("collected_twice", "Collected twice", Unit.COUNT),
    Column("collected_twice_amount", "Collected twice, amount", Unit.MONEY),
    Column("returned_amount", "Of that returned", Unit.MONEY),
    Column("without_amount", "Settled without a known amount", Unit.COUNT),
    Column("hours", "Hours until settled", Unit.HOURS),
)


class Moved(NamedTuple):
    """The money of one period, or of one access level."""

    asked: Decimal
    settled: Decimal
    refunded: Decimal
    net: Decimal
    asked_payments: int
    settled_payments: int
    refunded_payments: int
    collected_twice: int
    collected_twice_amount: Decimal
    returned_amount: Decimal
    without_amount: int
    hours: Decimal | None


def sections(span: Span, found: Sequence[Rows]) -> Iterator[Section]:
    """What moved in the periods, of the answers to ASKS."""
    periods, levels, all_of_it = moved(len(span.periods), found[0])
    rows: list[tuple[Value, ...]] = [
        (*named(period), *then) for period, then in zip(span.periods, periods, strict=True)
    ]
    yield Section(
        "periods",
        "Money",
        (FIRST, LAST, *_AMOUNTS),
        rows,
        Chart(Draw.BARS, "first", ("settled", "refunded")),
    )
    yield Section(
        "by_access_level",
        "Money by access level",
        (Column("access_level", "Access level", Unit.NAME), *_AMOUNTS),
        [(level, *then) for level, then in levels],
        Chart(Draw.BARS, "access_level", ("settled",)),
    )
    yield Section(
        "durations",
        "How long payments took",
        (Column("took", "Settled", Unit.TEXT), Column("payments", "Payments", Unit.COUNT)),
        [(title, all_of_it.count(0, name)) for name, title in TIMES],
        Chart(Draw.BARS, "took", ("payments",)),
    )


def sections_now(found: Sequence[Rows]) -> Iterator[Section]:
    """What is owed now, of the answers to ASKS_NOW."""
    owed: dict[int, tuple[int, Decimal]] = defaultdict(lambda: (0, Decimal(0)))
    for period, payments, amount in found[0]:
        age = min(period + 1, len(AGES) - 1)
        known = owed[age]
        owed[age] = known[0] + int(payments), known[1] + Decimal(amount)
    yield Section(
        "outstanding",
        "Owed now, by age: PENDING, and FAILED, which may still be paid",
        (
            Column("age", "Asked for", Unit.TEXT),
            Column("payments", "Payments", Unit.COUNT),
            Column("amount", "Amount", Unit.MONEY),
        ),
        [(AGES[age][0], owed[age][0], money(owed[age][1])) for age in reversed(range(len(AGES)))],
        Chart(Draw.BARS, "age", ("amount",)),
    )


def sections_next(span: Span, found: Sequence[Rows]) -> Iterator[Section]:
    """Whose time ends soon, of the answers to ASKS_NEXT about `next_days`."""
    counts = Counts(len(span.periods))
    for period, clients in found[0]:
        counts.add(period, "clients", int(clients))
    yield Section(
        "ending",
        f"Clients whose time ends within {NEXT_DAYS} days, and is not yet renewed",
        (Column("day", "Day", Unit.DAY), Column("clients", "Clients", Unit.COUNT)),
        [
            (period.first.isoformat(), counts.count(number, "clients"))
            for number, period in enumerate(span.periods)
        ],
        Chart(Draw.BARS, "day", ("clients",)),
    )


def ages(now: datetime) -> Sequence[str]:
    """When each age begins, from the oldest on; in whole quarter hours, as debts are counted."""
    begun = now - timedelta(
        minutes=now.minute % 15, seconds=now.second, microseconds=now.microsecond
    )
    return [time_text(begun - timedelta(days=days)) for _, days in AGES if days is not None]


def next_days(today: date, timezone: str) -> Span:
    """The days for which it is told whose time ends."""
    days = [today + timedelta(days=number) for number in range(NEXT_DAYS)]
    periods = [Period(day, day) for day in days]
    return Span(Period(days[0], days[-1]), By.DAY, timezone, periods)


def moved(periods: int, rows: Rows) -> tuple[Sequence[Moved], Sequence[tuple[str, Moved]], Counts]:
    """The money of each period, of each access level that had any, and all of it together."""
    by_period, all_of_it = Counts(periods), Counts(1)
    by_level: dict[str, Counts] = defaultdict(lambda: Counts(1))
    for period, level, *values in rows:
        for name, value in zip((*MONEY_SUMS, *MONEY_COUNTS), values, strict=True):
            amount = Decimal(value)
            by_period.add(period, name, amount)
            by_level[level].add(0, name, amount)
            all_of_it.add(0, name, amount)
    order = [*(level.value for level in AccessLevel), *sorted(by_level)]
    levels = [level for level in dict.fromkeys(order) if level in by_level]
    return (
        [_moved(by_period, period) for period in range(periods)],
        [(level, _moved(by_level[level], 0)) for level in levels],
        all_of_it,
    )


def _moved(counts: Counts, period: int) -> Moved:
    settled, refunded = counts.money(period, "settled"), counts.money(period, "refunded")
    timed = sum(counts.count(period, name) for name, _ in TIMES)
    return Moved(
        asked=counts.money(period, "asked"),
        settled=settled,
        refunded=refunded,
        net=settled - refunded,
        asked_payments=counts.count(period, "asked_payments"),
        settled_payments=counts.count(period, "settled_payments"),
        refunded_payments=counts.count(period, "refunded_payments"),
        collected_twice=counts.count(period, "collected_twice"),
        collected_twice_amount=counts.money(period, "twice"),
        returned_amount=counts.money(period, "returned"),
        without_amount=counts.count(period, "without_amount"),
        hours=hours(counts.count(period, "seconds"), timed),
    )
