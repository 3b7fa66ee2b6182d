"""Days as moments, in zones where that is not plain."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.aggregate import text_time
from domain.days import UnknownZone, day_of, end_of, is_zone, moment_of, start_of, zone
from domain.reports import DrawnUp

ZONES = [
    "UTC",
    "CET",
    "Europe/Berlin",
    "Atlantic/Azores",
    "America/Vancouver",
    "America/Sao_Paulo",
    "America/Havana",
    "Asia/Beirut",
    "Africa/Cairo",
    "Pacific/Apia",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
]


@pytest.mark.parametrize(
    ("name", "day", "start"),
    [
        ("UTC", "2026-03-02", "2026-03-02T00:00:00"),
        # It has a summer time, whatever its name says.
        ("CET", "2026-07-15", "2026-07-14T22:00:00"),
        # Midnight comes twice: the day begins with the first.
        ("Atlantic/Azores", "2026-10-25", "2026-10-25T00:00:00"),
        ("Atlantic/Azores", "2026-10-26", "2026-10-26T01:00:00"),
        # Clocks jump over midnight: the day begins with the jump.
        ("America/Sao_Paulo", "2018-11-04", "2018-11-04T03:00:00"),
        ("America/Toronto", "1919-03-31", "1919-03-31T04:30:00"),
        # A day that was left out is empty.
        ("Pacific/Apia", "2011-12-30", "2011-12-30T10:00:00"),
        ("Pacific/Apia", "2011-12-31", "2011-12-30T10:00:00"),
        # A province that keeps its summer time, in this release of the zones.
        ("America/Vancouver", "2026-12-01", "2026-12-01T07:00:00"),
    ],
)
def test_a_day_begins_at_one_moment(name: str, day: str, start: str) -> None:
    assert start_of(day, name) == f"{start}.000000Z"


@pytest.mark.parametrize(
    ("name", "day", "at", "comes"),
    [
        ("Europe/Berlin", "2026-01-15", "08:00", "2026-01-15T07:00:00"),
        ("Europe/Berlin", "2026-07-15", "08:00", "2026-07-15T06:00:00"),
        # Days of 23 and of 25 hours.
        ("Europe/Berlin", "2026-03-29", "08:00", "2026-03-29T06:00:00"),
        ("Europe/Berlin", "2026-10-25", "08:00", "2026-10-25T07:00:00"),
        # It does not come: the moment of the jump.
        ("Europe/Berlin", "2026-03-29", "02:00", "2026-03-29T01:00:00"),
        ("Europe/Berlin", "2026-03-29", "02:59", "2026-03-29T01:00:00"),
        ("Australia/Lord_Howe", "2026-10-04", "02:15", "2026-10-03T15:30:00"),
        ("America/Nuuk", "2026-03-28", "23:30", "2026-03-29T01:00:00"),
        # It comes twice: the first of them.
        ("Europe/Berlin", "2026-10-25", "02:30", "2026-10-25T00:30:00"),
        ("Australia/Lord_Howe", "2026-04-05", "01:45", "2026-04-04T14:45:00"),
        ("America/Sao_Paulo", "2018-11-04", "00:30", "2018-11-04T03:00:00"),
    ],
)
def test_a_time_of_a_day_comes_at_one_moment(name: str, day: str, at: str, comes: str) -> None:
    assert moment_of(day, at, name) == f"{comes}.000000Z"


@given(
    st.sampled_from(ZONES),
    st.dates(date(1990, 1, 1), date(2040, 1, 1)),
    st.integers(0, 1439),
)
def test_before_its_moment_no_clock_showed_a_time_of_the_day_nor_a_later_one(
    name: str, day: date, minute: int
) -> None:
    at = f"{minute // 60:02d}:{minute % 60:02d}"
    comes = text_time(moment_of(day.isoformat(), at, name)).astimezone(zone(name))
    wanted = datetime.combine(day, time.fromisoformat(at))
    assert comes.replace(tzinfo=None) >= wanted
    before = (comes.astimezone(UTC) - timedelta(seconds=1)).astimezone(zone(name))
    assert before.replace(tzinfo=None) < wanted


@given(
    st.sampled_from(ZONES),
    st.dates(date(1990, 1, 1), date(2040, 1, 1)),
    st.integers(0, 86_399),
)
def test_every_moment_is_in_the_day_that_clocks_show(name: str, day: date, second: int) -> None:
    """No moment is in two days or in none, on the days on which clocks change, too."""
    moment = datetime.combine(day, datetime.min.time(), UTC) + timedelta(seconds=second)
    there = day_of(moment, name)
    start, end = text_time(start_of(there, name)), text_time(end_of(there, name))
    # Where clocks go back over midnight, a day has minutes after the next has begun.
    assert start <= moment
    assert moment < end or moment.astimezone(zone(name)).fold == 1


@given(st.sampled_from(ZONES), st.dates(date(1990, 1, 1), date(2040, 1, 1)))
def test_days_follow_each_other_without_a_gap(name: str, day: date) -> None:
    tomorrow = (day + timedelta(days=1)).isoformat()
    assert end_of(day.isoformat(), name) == start_of(tomorrow, name)
    assert start_of(day.isoformat(), name) <= start_of(tomorrow, name)


@pytest.mark.parametrize(
    "name",
    [
        *("", " ", "UTC ", "utc ", "posix/Europe/Berlin", "right/UTC", "Europe", "Europe/"),
        *("/UTC", "../UTC", "Europe/../UTC", "zone.tab", "Nowhere", "Europe\0/Berlin", "Ü/Zone"),
    ],
)
def test_other_names_are_refused(name: str) -> None:
    assert not is_zone(name)
    with pytest.raises(UnknownZone):
        zone(name)


@pytest.mark.parametrize(
    ("zone_name", "starts_at"),
    [
        ("Europe/Berlin", "2026-01-30T23:00:00.000000Z"),
        ("posix/Europe/Berlin", "2026-01-30T23:00:00.000000Z"),
        ("localtime", "2026-01-31T00:00:00.000000Z"),
    ],
)
def test_a_report_of_the_first_version_gets_its_moments_whatever_its_zone_was_called(
    zone_name: str, starts_at: str
) -> None:
    state = {
        "report_date_start": "2026-01-31",
        "report_date_end": "2026-01-31",
        "timezone": zone_name,
    }
    DrawnUp.upcast_v1_v2(state)
    assert state["starts_at"] == starts_at
    assert state["timezone"] == zone_name
