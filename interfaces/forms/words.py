"""Figures as people read them: in words and digits, never by a colour alone."""

from __future__ import annotations

from datetime import date, datetime
from decimal import ROUND_HALF_EVEN, Decimal

from application.figures import Headline, Period, Unit, Value, words
from domain.days import zone

NONE = "–"
"""What stands for a figure that there is none of."""

MINUS = "\u2212"
_PER_CENT = 100
_LARGE = ((Decimal(10**12), "T"), (Decimal(10**9), "bn"), (Decimal(10**6), "M"))


def said(value: Value, unit: Unit) -> str:
    """A figure in full."""
    match value:
        case None:
            return NONE
        case str():
            return _FORMS.get(unit, str)(value)
    match unit:
        case Unit.SHARE:
            return f"{_digits(Decimal(value) * _PER_CENT, 2)} %"
        case Unit.MONEY:
            return _digits(Decimal(value), 2)
        case Unit.HOURS:
            return f"{_digits(Decimal(value))} h"
        case _:
            return _digits(Decimal(value))


def shortly(value: float, unit: Unit) -> str:
    """A figure in as many signs as fit beside an axis."""
    exact = Decimal(repr(value))
    if unit is Unit.SHARE:
        return f"{_digits((exact * _PER_CENT).normalize())} %"
    for step, name in _LARGE:
        if abs(exact) >= step:
            return f"{_digits((exact / step).normalize())} {name}"
    return _digits(exact.normalize())


def change(headline: Headline) -> str:
    """From the period before to this one: a sign, by how much, and a word for it."""
    now, before = headline.now, headline.before
    if now is None or before is None or isinstance(now, str) or isinstance(before, str):
        return "nothing to compare"
    by = Decimal(now) - Decimal(before)
    if by == 0:
        return "= as before"
    sign, word = ("▲ +", "more") if by > 0 else (f"▼ {MINUS}", "less")
    if headline.unit is Unit.SHARE:
        points = _digits(abs(by) * _PER_CENT, 2)
        return f"{sign}{points} points {word}"
    share = ""
    if before != 0:
        part = (abs(by) / abs(Decimal(before)) * _PER_CENT).quantize(Decimal("0.1"))
        share = f" ({_digits(part).removesuffix('.0')} %)"
    return f"{sign}{said(abs(by), headline.unit)}{share} {word}"


def day(text: str) -> str:
    """`1 March 2026`; what is no day stays as it is."""
    try:
        there = date.fromisoformat(text)
    except ValueError:
        return text
    return f"{there.day} {there:%B} {there.year}"


def shorter_day(text: str) -> str:
    """`1 Mar 2026`, as it stands in a table."""
    if day(text) == text:
        return text
    there = date.fromisoformat(text)
    return f"{there.day} {there:%b} {there.year}"


_FORMS = {Unit.DAY: shorter_day, Unit.NAME: words}


def days(period: Period) -> str:
    """`1 March 2026 to 31 March 2026`."""
    if period.first == period.last:
        return day(period.first.isoformat())
    return f"{day(period.first.isoformat())} to {day(period.last.isoformat())}"


def moment(text: str, timezone: str) -> str:
    """`1 April 2026, 08:00:00 (CEST)`: a moment as clocks of the zone show it."""
    at = datetime.fromisoformat(text).astimezone(zone(timezone))
    return f"{at.day} {at:%B} {at.year}, {at:%H:%M:%S} ({at:%Z})"


def _digits(number: Decimal, places: int | None = None) -> str:
    if places is not None:
        number = number.quantize(Decimal(1).scaleb(-places), ROUND_HALF_EVEN)
    return format(number, ",f").replace("-", MINUS)
