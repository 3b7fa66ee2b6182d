"""Figures of a club that there is not, for tests of the forms that they take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise

from application.figures import (
    By,
    Chart,
    Column,
    Draw,
    Figures,
    Headline,
    Overview,
    Period,
    Section,
    Span,
    Unit,
    Value,
)
from application.ports.figures import Wanted

AS_OF = "2026-04-01T06:00:00.000000Z"
FIRST, LAST = date(2026, 3, 1), date(2026, 3, 31)
DAY = Column("day", "Day", Unit.DAY)


def span(first: date = FIRST, last: date = LAST, by: By = By.DAY) -> Span:
    """Days, and the periods in them."""
    match by:
        case By.DAY:
            begins = [first + timedelta(n) for n in range((last - first).days + 1)]
        case By.WEEK:
            begins = [first, *_days(first, last, lambda day: day.weekday() == 0)]
        case By.MONTH:
            begins = [first, *_days(first, last, lambda day: day.day == 1)]
    begins.append(last + timedelta(1))
    periods = [Period(one, another - timedelta(1)) for one, another in pairwise(begins)]
    return Span(Period(first, last), by, "Europe/Berlin", periods)


def _days(first: date, last: date, wanted: object) -> list[date]:
    days = (first + timedelta(n) for n in range(1, (last - first).days + 1))
    assert callable(wanted)
    return [day for day in days if wanted(day)]


def section(
    rows: Sequence[tuple[Value, ...]],
    *columns: Column,
    draw: Draw | None = Draw.LINES,
    name: str = "periods",
    title: str = "Over time",
) -> Section:
    """A section whose first column names the points, and all others are drawn."""
    chart = Chart(draw, columns[0].name, tuple(c.name for c in columns[1:])) if draw else None
    return Section(name, title, columns, rows, chart)


def clients(over: Span) -> Figures:
    """How many there are, come and go."""
    columns = (
        DAY,
        Column("active", "Active", Unit.COUNT),
        Column("on_hold", "On hold", Unit.COUNT),
        Column("joined", "Joined", Unit.COUNT),
        Column("churn", "Churn", Unit.SHARE),
    )
    rows = [
        (period.first.isoformat(), 120 + n, 9, n % 4, Decimal("0.0312") if n % 7 else None)
        for n, period in enumerate(over.periods)
    ]
    drawn = Chart(Draw.LINES, "day", ("active", "on_hold"))
    there = Section("periods", "Clients at the end of each period", columns, rows, drawn)
    moved = Chart(Draw.STACKED, "day", ("joined",))
    return report("clients", "Clients", over, there, replace(there, name="moves", chart=moved))


def money(over: Span) -> Figures:
    """What was asked for, came and went; and one title that a spreadsheet would run."""
    columns = (
        DAY,
        Column("settled", "Settled", Unit.MONEY),
        Column("net", "Net", Unit.MONEY),
    )
    rows = [
        (period.first.isoformat(), Decimal("49.90") * (n % 5), Decimal("-12.00") if n == 0 else 0)
        for n, period in enumerate(over.periods)
    ]
    levels = section(
        [("=1+1", Decimal("1234567.80"), 3), ("PREMIUM", Decimal("99.80"), 2), ("VIP", None, 0)],
        Column("access_level", "Access level", Unit.TEXT),
        Column("net", "Net", Unit.MONEY),
        Column("payments", "Payments", Unit.COUNT),
        draw=Draw.BARS,
        name="by_access_level",
        title="By access level",
    )
    ending = section(
        [(7, "2026-04-09")],
        Column("client_id", "Client", Unit.COUNT),
        Column("until", "Until", Unit.DAY),
        draw=None,
        name="ending",
        title="Ends within 30 days, not renewed",
    )
    return report("money", "Money", over, section(rows, *columns), levels, ending)


def report(name: str, title: str, over: Span, *sections: Section, empty: bool = False) -> Figures:
    """A report that holds up to one moment."""
    return Figures(name, title, over, 4711, AS_OF, sections, empty)


def simple(name: str, title: str, over: Span) -> Figures:
    """One number of each weekday."""
    days = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
    rows = [(day, n * 3) for n, day in enumerate(days)]
    columns = (Column("weekday", "Weekday", Unit.TEXT), Column("trainings", title, Unit.COUNT))
    return report(name, title, over, section(rows, *columns, draw=Draw.BARS, name="weekdays"))


def headlines() -> list[Headline]:
    """Up, down, as it was, from nothing, and none."""
    return [
        Headline("active", "Active clients", Unit.COUNT, 150, 120),
        Headline("net", "Net", Unit.MONEY, Decimal("1234567.80"), Decimal("1250000.00")),
        Headline("joined", "Joined", Unit.COUNT, 12, 12),
        Headline("churn", "Churn", Unit.SHARE, Decimal("0.0312"), Decimal("0.0287")),
        Headline("trainings", "Trainings", Unit.COUNT, 63, 0),
        Headline("hours", "Hours until paid", Unit.HOURS, None, Decimal("5.25")),
    ]


@dataclass(frozen=True)
class Invented:
    """Answers as the club's own figures do."""

    empty: bool = False

    async def figures(self, name: str, wanted: Wanted) -> Figures:
        return next(one for one in self._reports(wanted) if one.name == name)

    async def overview(self, wanted: Wanted) -> Overview:
        reports = self._reports(wanted)
        whole = reports[0].span.whole
        days = whole.last - whole.first + timedelta(1)
        before = Period(whole.first - days, whole.first - timedelta(1))
        return Overview([] if self.empty else headlines(), before, reports)

    def _reports(self, wanted: Wanted) -> list[Figures]:
        first = wanted.first or (FIRST if wanted.last is None else wanted.last)
        over = span(first, wanted.last or max(first, LAST), wanted.by or By.DAY)
        found = [
            clients(over),
            simple("cohorts", "Cohorts", over),
            money(over),
            simple("trainings", "Trainings", over),
            simple("plans", "Plans", over),
        ]
        if not self.empty:
            return found
        return [
            replace(one, sections=[replace(s, rows=[]) for s in one.sections], empty=True)
            for one in found
        ]
