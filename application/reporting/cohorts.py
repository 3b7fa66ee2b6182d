"""The report on cohorts: who joined in a month, and how many of them are ACTIVE months later."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import date
from itertools import accumulate

from application.figures import Chart, Column, Draw, Section, Span, Unit, Value
from application.reporting.shaping import Rows, share

ASKS = ("cohorts",)

MOST_MONTHS = 24
"""How many months after the first a cohort is followed."""


def sections(span: Span, today: date, found: Sequence[Rows]) -> Iterator[Section]:
    """What the report shows, for the months of the span; `today` is in the last one shown."""
    months = [period.first for period in span.periods]
    begun = sum(month <= today for month in months)
    last = min(MOST_MONTHS, max(0, begun - 1))
    joined, active = _counted(begun, last, found[0])
    rows: list[tuple[Value, ...]] = [
        (month.isoformat(), joined.get(number, 0), *active[number])
        for number, month in enumerate(months[:begun])
    ]
    yield Section(
        "cohorts",
        "Who joined in a month, and is active at the end of later ones",
        (
            Column("month", "Joined in", Unit.DAY),
            Column("joined", "Joined", Unit.COUNT),
            *(Column(f"after_{later}", _months(later), Unit.COUNT) for later in _to(last)),
        ),
        rows,
    )
    yield Section(
        "retention",
        "Of all who joined, how many stay",
        (
            Column("months", "Months after joining", Unit.COUNT),
            Column("joined", "Joined", Unit.COUNT),
            Column("active", "Active then", Unit.COUNT),
            Column("share", "Share", Unit.SHARE),
        ),
        list(_retention(rows, last)),
        Chart(Draw.LINES, "months", ("share",)),
    )


def _to(last: int) -> range:
    return range(last + 1)


def _months(later: int) -> str:
    return "Same month" if later == 0 else f"{later} month{'s' if later > 1 else ''} later"


def _counted(
    begun: int, last: int, rows: Rows
) -> tuple[dict[int, int], Sequence[Sequence[int | None]]]:
    """How many joined in each month begun, and are ACTIVE up to `last` months later."""
    joined: dict[int, int] = defaultdict(int)
    more: dict[tuple[int, int], int] = defaultdict(int)
    for joined_in, moved_in, clients, active in rows:
        joined[joined_in] += int(clients)
        # A clock that went back may say that somebody moved before they joined.
        more[joined_in, max(0, moved_in - joined_in)] += int(active)
    return joined, [
        [
            *accumulate(more.get((number, later), 0) for later in _to(min(last, left))),
            *[None] * (last - left),
        ]
        for number, left in enumerate(reversed(range(begun)))
    ]


def _retention(rows: Sequence[tuple[Value, ...]], last: int) -> Iterator[tuple[Value, ...]]:
    """Of all cohorts that are so old."""
    for later in _to(last):
        old = [row for row in rows if row[2 + later] is not None]
        joined = sum(int(row[1] or 0) for row in old)
        active = sum(int(row[2 + later] or 0) for row in old)
        yield later, joined, active, share(active, joined)
