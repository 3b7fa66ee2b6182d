"""Commands about reports."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from application.ports.services import Rules
from application.reports import DrawUpReport, ReportBody
from domain.reports import DrawnUp, ReportEndsFirst
from tests.application.scene import Scene

LATE = datetime(2026, 1, 31, 23, 30, tzinfo=UTC)


async def drawn_up(scene: Scene, **days: str) -> DrawnUp:
    scene.services.clock.at = LATE
    await scene.do(DrawUpReport(ReportBody(**days)))
    event = scene.ledger.events[-1]
    assert isinstance(event, DrawnUp)
    return event


@pytest.mark.parametrize(
    ("zone", "today"),
    [("UTC", "2026-01-31"), ("Asia/Tokyo", "2026-02-01"), ("America/New_York", "2026-01-31")],
)
async def test_a_report_covers_today_in_the_clubs_time_zone(zone: str, today: str) -> None:
    event = await drawn_up(Scene(Rules(timezone=zone)))
    assert (event.report_date_start, event.report_date_end) == (today, today)
    assert event.timezone == zone


async def test_a_report_covers_the_days_that_are_told(scene: Scene) -> None:
    event = await drawn_up(scene, report_date_start="2026-01-01", report_date_end="2026-01-31")
    assert (event.report_date_start, event.report_date_end) == ("2026-01-01", "2026-01-31")


async def test_a_report_of_which_only_the_start_is_told_covers_that_day(scene: Scene) -> None:
    event = await drawn_up(scene, report_date_start="2026-01-15")
    assert (event.report_date_start, event.report_date_end) == ("2026-01-15", "2026-01-15")


async def test_a_report_that_only_ends_is_one_of_that_day(scene: Scene) -> None:
    event = await drawn_up(scene, report_date_end="2026-01-30")
    assert (event.report_date_start, event.report_date_end) == ("2026-01-30", "2026-01-30")


async def test_a_report_does_not_end_before_it_starts(scene: Scene) -> None:
    with pytest.raises(ReportEndsFirst):
        await drawn_up(scene, report_date_start="2026-01-31", report_date_end="2026-01-30")
    assert scene.head == 0
