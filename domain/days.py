"""Days of a time zone, as moments: the one place that knows when a day begins.

The zones are those of the `tzdata` package, not of the machine or of Postgres, so that every
process of a release gives one answer.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from importlib.resources import files
from zoneinfo import ZoneInfo

from domain.aggregate import time_text
from domain.refusals import Invalid


class UnknownZone(Invalid):
    """There is no time zone {name!r}."""


class NoTimeOfDay(Invalid):
    """{text!r} is not a time of day: 00:00 is the first, and 23:59 the last."""


@lru_cache(maxsize=64)
def zone(name: str) -> ZoneInfo:
    """The time zone of this name, like `Europe/Berlin`; refused where there is none."""
    parts = name.split("/")
    plain = all(part.replace("_", "").replace("-", "").replace("+", "").isalnum() for part in parts)
    found = files("tzdata").joinpath("zoneinfo", *parts) if plain else None
    if found is None or not name.isascii() or not found.is_file():
        raise UnknownZone(name=name, field="timezone")
    try:
        with found.open("rb") as rules:
            return ZoneInfo.from_file(rules, key=name)
    except ValueError:
        raise UnknownZone(name=name, field="timezone") from None


def is_zone(name: str) -> bool:
    """Whether there is a time zone of this name."""
    try:
        zone(name)
    except UnknownZone:
        return False
    return True


def day_of(moment: datetime, zone_name: str) -> str:
    """The day that a moment falls on, as `2026-01-31`."""
    return moment.astimezone(zone(zone_name)).date().isoformat()


def time_of_day(text: str) -> time:
    """What clocks show, as `08:00`; refused where it is something else."""
    if not re.fullmatch("([01][0-9]|2[0-3]):[0-5][0-9]", text, re.ASCII):
        raise NoTimeOfDay(text=text, field="daily_report_at")
    return time.fromisoformat(text)


def start_of(day: str, zone_name: str) -> str:
    """The moment at which a day begins, as facts carry it.

    Where midnight comes twice it is the first one; where clocks jump over it, the moment of the
    jump. A day that a zone left out begins where the next one does.
    """
    return moment_of(day, "00:00", zone_name)


def moment_of(day: str, at: str, zone_name: str) -> str:
    """The first moment at which clocks show this time of this day, or a later one.

    It is the first of two where clocks are put back, and the moment of the jump where they are
    put forward over it.
    """
    there = zone(zone_name)
    wanted = datetime.combine(date.fromisoformat(day), time_of_day(at))
    comes = wanted.replace(tzinfo=there).astimezone(UTC)
    if _shown(comes, there) != wanted:
        comes = _first_moment_of(wanted, comes, there)
    return time_text(comes)


def end_of(day: str, zone_name: str) -> str:
    """The moment at which the day after a day begins, as facts carry it."""
    return start_of((date.fromisoformat(day) + timedelta(days=1)).isoformat(), zone_name)


def _shown(moment: datetime, there: ZoneInfo) -> datetime:
    """What calendar and clock show."""
    return moment.astimezone(there).replace(tzinfo=None)


def _first_moment_of(wanted: datetime, by: datetime, there: ZoneInfo) -> datetime:
    """The first second at which clocks show this or something later, found by halving."""
    early, late = by - timedelta(days=2), by
    while late - early > timedelta(seconds=1):
        middle = early + (late - early) // 2
        middle = middle.replace(microsecond=0)
        if middle <= early:
            break
        if _shown(middle, there) >= wanted:
            late = middle
        else:
            early = middle
    return late
