"""Spans of time in which things are counted, the same for every time zone.

Days begin at the quarter hours of UTC, whatever zone they are of. So what is counted in quarter
hours can be read by the days of any zone, and a club that moves to another one, or a zone whose
rules change, changes no row. The same is counted in hours and in months of UTC, too, from which
most is read: there are fewer of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from decimal import Decimal
from enum import StrEnum

from projections.engine.table import Add, Key, Table

EARLIEST_OFFSET = 12
"""Hours by which a zone's month may begin after that of UTC."""
LATEST_OFFSET = 14
"""Hours by which it may begin before."""


class Width(StrEnum):
    """How long a bin is."""

    QUARTER = "quarter"
    HOUR = "hour"
    MONTH = "month"


def quarter(moment: str) -> str:
    """When the quarter hour of UTC began in which a moment is; both as facts carry them."""
    minutes = int(moment[14:16]) // 15 * 15
    return f"{moment[:14]}{minutes:02}:00.000000Z"


def hour(moment: str) -> str:
    """When the hour of UTC began in which a moment is."""
    return f"{moment[:14]}00:00.000000Z"


def month(moment: str) -> str:
    """When the month of UTC began in which a moment is."""
    return f"{moment[:8]}01T00:00:00.000000Z"


def anywhere_in_month(at: str) -> str:
    """The longest span around a quarter hour that is in one month, whatever the zone.

    In the midst of a month all its quarter hours are one; near its ends each is one of its own.
    """
    day, clock = int(at[8:10]), int(at[11:13])
    first = day == 1 and clock < EARLIEST_OFFSET
    last = clock >= 24 - LATEST_OFFSET and _ends_a_month(at[:10])
    return at if first or last else f"{at[:8]}01T{EARLIEST_OFFSET:02}:00:00.000000Z"


def _ends_a_month(day: str) -> bool:
    return (date.fromisoformat(day) + timedelta(days=1)).day == 1


def counted(
    table: Table, moment: str, key: Key, deltas: Mapping[str, int | Decimal]
) -> Iterator[Add]:
    """So much more in the bins of each width; their keys begin with width and start."""
    yield Add(table, (Width.QUARTER.value, quarter(moment), *key), deltas)
    yield Add(table, (Width.HOUR.value, hour(moment), *key), deltas)
    yield Add(table, (Width.MONTH.value, month(moment), *key), deltas)
