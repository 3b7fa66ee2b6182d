"""Figures: what a report says, whatever form it takes: JSON, CSV, a chart, a page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple

Value = int | Decimal | str | None
"""One figure; None where there is none, as a share of nothing."""


class Unit(StrEnum):
    """What the values of a column are."""

    COUNT = "count"
    MONEY = "money"
    SHARE = "share"
    """Of 1, with four decimals: 0.0312 is 3.12 %."""
    HOURS = "hours"
    RATIO = "ratio"
    """So many for each one, with two decimals."""
    DAY = "day"
    NAME = "name"
    """A value of the club's, like `DAY_PASS`; `words` says it to people."""
    TEXT = "text"


class By(StrEnum):
    """How long the periods of a report are; weeks begin on Monday."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"


class Period(NamedTuple):
    """Days of the club's time zone, both included."""

    first: date
    last: date


@dataclass(frozen=True, slots=True)
class Span:
    """What a report covers: days, cut into periods."""

    whole: Period
    by: By
    timezone: str
    periods: Sequence[Period]
    """In order; the first and the last are cut where the whole is."""
    timezone_since: str | None = None
    """From when on it is the club's; all days are counted in it, those before, too."""


class Column(NamedTuple):
    """A column of figures: its name in JSON, its heading for people, and what its values are."""

    name: str
    title: str
    unit: Unit


class Draw(StrEnum):
    """How a section is drawn."""

    LINES = "lines"
    BARS = "bars"
    STACKED = "stacked"


class Chart(NamedTuple):
    """How a section is drawn: which column names the points, and which are drawn."""

    draw: Draw
    by: str
    shows: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Section:
    """Rows of figures of one form."""

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: Sequence[tuple[Value, ...]]
    chart: Chart | None = None

    def named(self) -> Iterator[dict[str, Value]]:
        """The rows, each by the names of its columns."""
        names = [column.name for column in self.columns]
        return (dict(zip(names, row, strict=True)) for row in self.rows)


@dataclass(frozen=True, slots=True)
class Figures:
    """A report: sections of figures, and up to where in the ledger they hold."""

    name: str
    title: str
    span: Span
    position: int
    """Of the last event that is in them."""
    as_of: str | None
    """Nothing is missing that was recorded by then; of a quiet club that is now."""
    sections: Sequence[Section]
    empty: bool
    """Whether nothing at all happened by the end of the span."""
    unfinished: date | None = None
    """The first day of the period that is not over yet, where there is one."""
    clubs: Section | None = None
    """Of a chain: each of its clubs, and up to where it is in them.

    `position` is how many events of all of them that is, and `as_of` holds for each.
    """

    @property
    def held(self) -> Mapping[str, Any]:
        """Up to where they hold, as JSON shows it."""
        if self.clubs is None:
            return {"position": self.position, "as_of": self.as_of}
        return {"events": self.position, "as_of": self.as_of, "clubs": list(self.clubs.named())}

    def body(self) -> Mapping[str, Any]:
        """As JSON shows them."""
        return {
            "report": self.name,
            "from_date": self.span.whole.first.isoformat(),
            "to_date": self.span.whole.last.isoformat(),
            "by": self.span.by.value,
            "timezone": self.span.timezone,
            "timezone_since": self.span.timezone_since,
            **self.held,
            "empty": self.empty,
            "unfinished": None if self.unfinished is None else self.unfinished.isoformat(),
            **{section.name: list(section.named()) for section in self.sections},
        }


class Headline(NamedTuple):
    """One figure that matters, and what it was in the period before."""

    name: str
    title: str
    unit: Unit
    now: Value
    before: Value


@dataclass(frozen=True, slots=True)
class Overview:
    """The figures that matter first, and the reports from which they come."""

    headlines: Sequence[Headline]
    before: Period
    """The period before, which is as long."""
    reports: Sequence[Figures]
    """Clients, cohorts, money, trainings and plans, of the same span."""

    @property
    def position(self) -> int:
        """Of the last event that is in all of them."""
        return min(report.position for report in self.reports)

    @property
    def as_of(self) -> str | None:
        """Up to this moment nothing that was recorded is missing in any of them."""
        moments = [report.as_of for report in self.reports if report.as_of is not None]
        return min(moments) if len(moments) == len(self.reports) else None

    @property
    def clubs(self) -> Section | None:
        """Of a chain: each of its clubs, and up to where it is in them."""
        return self.reports[0].clubs

    @property
    def held(self) -> Mapping[str, Any]:
        """Up to where all of them hold, as JSON shows it; they are all of one moment."""
        return min(self.reports, key=lambda report: report.position).held

    @property
    def empty(self) -> bool:
        """Whether nothing at all happened by the end of the span."""
        return all(report.empty for report in self.reports)

    def body(self) -> Mapping[str, Any]:
        """As JSON shows them; the reports are by their names."""
        span = self.reports[0].span
        return {
            "from_date": span.whole.first.isoformat(),
            "to_date": span.whole.last.isoformat(),
            "by": span.by.value,
            "timezone": span.timezone,
            "timezone_since": span.timezone_since,
            **self.held,
            "empty": self.empty,
            "unfinished": self.reports[0].body()["unfinished"],
            "before": {
                "from_date": self.before.first.isoformat(),
                "to_date": self.before.last.isoformat(),
            },
            "headlines": [headline._asdict() for headline in self.headlines],
            **{report.name: report.body() for report in self.reports},
        }


def words(name: str) -> str:
    """A value of the club's as people read it: `DAY_PASS` is `Day pass`."""
    return name if name == "VIP" else name.replace("_", " ").capitalize()
