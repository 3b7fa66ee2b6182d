"""What all reports are made with: rows of the tables, put together to figures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from application.figures import Column, Period, Span, Unit, Value
from domain.days import end_of, start_of

Rows = Sequence[Sequence[Any]]
"""The answer to one question."""

FIRST = Column("first", "From", Unit.DAY)
LAST = Column("last", "To", Unit.DAY)

CENT = Decimal("0.01")


class Counts:
    """Counts or sums of each period, by name; what is not there is zero."""

    def __init__(self, periods: int) -> None:
        self._of: list[dict[str, Decimal]] = [defaultdict(Decimal) for _ in range(periods)]

    def add(self, period: int, name: str, value: int | Decimal) -> None:
        """So much more."""
        self._of[period][name] += value

    def count(self, period: int, name: str) -> int:
        """As a whole number."""
        return int(self._of[period].get(name, 0))

    def money(self, period: int, name: str) -> Decimal:
        """As an amount."""
        return money(self._of[period].get(name, Decimal(0)))

    def total(self, name: str) -> Decimal:
        """Of all periods."""
        return sum((of.get(name, Decimal(0)) for of in self._of), Decimal(0))


def money(amount: Decimal | str | int) -> Decimal:
    """An amount, exact, with two decimals or as many more as it has."""
    exact = Decimal(amount)
    exponent = exact.as_tuple().exponent
    longer = isinstance(exponent, int) and exponent < CENT.as_tuple().exponent  # type: ignore[operator]
    return exact if longer else exact.quantize(CENT)


def share(part: int, whole: int) -> Decimal | None:
    """Of 1; None of nothing."""
    return _ratio(part, whole, Decimal("0.0001"))


def ratio(part: int, whole: int) -> Decimal | None:
    """So many for each one; None for nobody."""
    return _ratio(part, whole, CENT)


def hours(seconds: int, times: int) -> Decimal | None:
    """How many hours it took on average."""
    return _ratio(seconds, times * 3600, CENT)


def _ratio(part: int, whole: int, digits: Decimal) -> Decimal | None:
    return (Decimal(part) / whole).quantize(digits, ROUND_HALF_UP) if whole else None


def named(period: Period) -> tuple[Value, Value]:
    """The first and last day of a period, as figures show them."""
    return period.first.isoformat(), period.last.isoformat()


def cut(span: Span) -> tuple[Sequence[str], Sequence[str]]:
    """Where each period begins and the last one ends: as moments, and as days."""
    days = [period.first.isoformat() for period in span.periods]
    moments = [start_of(day, span.timezone) for day in days]
    last = span.periods[-1].last
    end = last.fromordinal(last.toordinal() + 1).isoformat()
    return [*moments, end_of(last.isoformat(), span.timezone)], [*days, end]


def by_name(rows: Iterable[Sequence[Any]]) -> Mapping[str, int]:
    """Rows of a name and a number."""
    return {name: int(number) for name, number in rows}
