"""Which days a report covers, and the periods into which they are cut."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta

from application.figures import By, Period, Span
from application.ports.figures import Wanted
from domain.refusals import Invalid

MOST_PERIODS = 3_700
"""Ten years by the day."""

USUAL_DAYS = 30
"""Of a report whose days nobody says."""

MOST_SINGLE_DAYS = 62
"""Of a report by the day, where nobody says by what."""

FIRST_DAY, LAST_DAY = date(1970, 1, 1), date(2199, 12, 31)


class SpanEndsFirst(Invalid):
    """A report ends on the day it starts, or later."""


class DayOutOfReach(Invalid):
    """Reports are on days from {first} to {last}."""


class TooManyPeriods(Invalid):
    """That is more than {most} periods: ask for longer ones, or for fewer days."""


def span_of(wanted: Wanted, today: date, timezone: str, since: str | None = None) -> Span:
    """The days that are meant: the last 30 up to today, where none are told.

    They are those of a time zone, which is the club's `since` some moment.

    Raises Invalid where they end before they start, are out of reach, or are too many.
    """
    whole = _days(wanted, today)
    if whole.last < whole.first:
        raise SpanEndsFirst(field="to_date")
    for field, day in (("from_date", whole.first), ("to_date", whole.last)):
        if not FIRST_DAY <= day <= LAST_DAY:
            raise DayOutOfReach(field=field, first=FIRST_DAY, last=LAST_DAY)
    days = (whole.last - whole.first).days + 1
    by = wanted.by or (By.DAY if days <= MOST_SINGLE_DAYS else By.MONTH)
    periods = list(_cut(whole, by, MOST_PERIODS + 1))
    if len(periods) > MOST_PERIODS:
        raise TooManyPeriods(field="by", most=MOST_PERIODS)
    return Span(whole, by, timezone, periods, since)


def before(span: Span) -> Span:
    """The days before, as many of them, in one period."""
    days = span.whole.last - span.whole.first + timedelta(days=1)
    whole = Period(span.whole.first - days, span.whole.first - timedelta(days=1))
    return replace(span, whole=whole, periods=[whole])


def by_month(span: Span) -> Span:
    """The whole months in which these days are."""
    last = _end(span.whole.last, By.MONTH)
    whole = Period(span.whole.first.replace(day=1), last)
    return replace(
        span, whole=whole, by=By.MONTH, periods=list(_cut(whole, By.MONTH, MOST_PERIODS))
    )


def _days(wanted: Wanted, today: date) -> Period:
    usual = timedelta(days=USUAL_DAYS - 1)
    match wanted:
        case (None, None, _):
            return Period(today - usual, today)
        case (None, last, _):
            assert last is not None  # noqa: S101 - the case before
            return Period(max(last, date.min + usual) - usual, last)
        case (first, None, _):
            return Period(first, max(first, today))
        case (first, last, _):
            return Period(first, last)


def _cut(whole: Period, by: By, most: int) -> Iterator[Period]:
    first = whole.first
    for _ in range(most):
        last = min(_end(first, by), whole.last)
        yield Period(first, last)
        if last == whole.last:
            return
        first = last + timedelta(days=1)


def _end(day: date, by: By) -> date:
    """The last day of the day, week or month that a day is in."""
    match by:
        case By.DAY:
            return day
        case By.WEEK:
            return day + timedelta(days=6 - day.weekday())
        case By.MONTH:
            in_the_next = day.replace(day=28) + timedelta(days=4)
            return in_the_next - timedelta(days=in_the_next.day)
