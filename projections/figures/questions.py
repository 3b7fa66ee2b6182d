"""Questions to the figures: what of them is in each of some periods, whatever zone these are of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from projections.engine.table import Table
from projections.figures.bins import Width, month


class Cut(NamedTuple):
    """Periods that follow each other: where each begins, and where the last ends."""

    moments: Sequence[str]
    days: Sequence[str]
    """The same as days, as they are written."""

    @property
    def width(self) -> str:
        """The widest bins that do not cross a moment between two periods."""
        whole = all(moment[14:] == "00:00.000000Z" for moment in self.moments)
        return Width.HOUR.value if whole else Width.QUARTER.value


class Question(NamedTuple):
    """A query, and the names of what it selects."""

    columns: Sequence[str]
    sql: str
    params: Sequence[Any] = ()

    @property
    def as_json(self) -> str:
        """An SQL expression: the rows as an array of arrays."""
        columns = ", ".join(f"q.{name}" for name in self.columns)
        return (
            f"(SELECT coalesce(json_agg(json_build_array({columns})), '[]') FROM ({self.sql}) AS q)"
        )


Asks = Callable[[Cut], Question]

PERIOD = "(width_bucket(at, %s::timestamptz[]) - 1) AS period"
WITHIN = "width = %s AND at >= %s::timestamptz AND at < %s::timestamptz"
DAY_PERIOD = "(width_bucket(day, %s::date[]) - 1) AS period"
WITHIN_DAYS = "day >= %s::date AND day < %s::date"


def within(cut: Cut) -> list[Any]:
    """The parameters of PERIOD and WITHIN."""
    return [list(cut.moments), cut.width, cut.moments[0], cut.moments[-1]]


def within_days(cut: Cut) -> list[Any]:
    """The parameters of DAY_PERIOD and WITHIN_DAYS."""
    return [list(cut.days), cut.days[0], cut.days[-1]]


def until(table: Table) -> str:
    """All that was counted in a table before some moment; see `until_start`."""
    return (
        f"(SELECT * FROM {table.name} WHERE width = '{Width.MONTH.value}' AND at < %s::timestamptz "
        f"UNION ALL SELECT * FROM {table.name} WHERE {WITHIN}) AS counted"
    )


def until_start(cut: Cut) -> list[Any]:
    """The parameters of `until`, for the moment at which the periods begin."""
    begins = cut.moments[0]
    return [month(begins), cut.width, month(begins), begins]
