"""The report that the club makes for itself: late, twice or at once, there is one for a day."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from application.access import Caller
from application.bus import Bus
from application.daily_reports import draw_up_what_is_due
from application.ports.services import Rules
from application.reports import DrawUpDailyReport, DrawUpReport, ReportBody
from application.rules import ChangeRules
from domain.refusals import Forbidden
from domain.reports import DailyReportMade, DrawnUp, NotDueYet
from domain.values import Role
from tests.application.scene import Scene, pausing_scene

BERLIN = Rules(timezone="Europe/Berlin", daily_report_at="08:00")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


async def look(scene: Scene, moment: str, bus: Bus | None = None) -> int:
    """What is due at this moment is done; how many reports that were."""
    scene.services.clock.at = at(moment)
    return await draw_up_what_is_due(bus or scene.bus)


def drawn(scene: Scene) -> list[tuple[str, str, bool]]:
    """Every report: first day, last day, and whether it was made daily."""
    return [
        (event.report_date_start, event.report_date_end, event.daily)
        for event in scene.ledger.events
        if isinstance(event, DrawnUp)
    ]


async def test_it_is_made_from_its_minute_on_for_the_three_days_up_to_then() -> None:
    scene = Scene(BERLIN)
    assert await look(scene, "2026-03-02T06:59:59.999999") == 0
    assert await look(scene, "2026-03-02T07:00:00") == 1
    assert drawn(scene) == [("2026-02-28", "2026-03-02", True)]


async def test_it_is_made_once_a_day_however_often_one_looks() -> None:
    scene = Scene(BERLIN)
    found = [
        await look(scene, f"2026-03-0{day}T{hour:02d}:30:00")
        for day in (2, 3)
        for hour in range(24)
    ]
    assert sum(found) == 2
    assert drawn(scene) == [
        ("2026-02-28", "2026-03-02", True),
        ("2026-03-01", "2026-03-03", True),
    ]


async def test_a_late_one_is_made_the_same_day_and_a_day_that_has_passed_is_not_made_up_for() -> (
    None
):
    scene = Scene(BERLIN)
    assert await look(scene, "2026-03-02T22:59:59") == 1
    assert await look(scene, "2026-03-05T01:00:00") == 0
    assert await look(scene, "2026-03-05T12:00:00") == 1
    assert [end for _, end, _ in drawn(scene)] == ["2026-03-02", "2026-03-05"]


@pytest.mark.parametrize("count", [2, 5])
async def test_of_many_who_look_at_once_one_makes_it(count: int) -> None:
    """Each has its own bus, as each process has."""
    scene = pausing_scene(BERLIN)
    scene.services.clock.at = at("2026-03-02T07:00:00")
    buses = [Bus(scene.services) for _ in range(count)]
    made = await asyncio.gather(*(draw_up_what_is_due(bus) for bus in buses))
    assert sorted(made) == [0] * (count - 1) + [1]
    assert len(drawn(scene)) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"daily_report_at": "20:00"},
        {"timezone": "America/New_York"},
        {"timezone": "Asia/Tokyo"},
        {"timezone": "America/New_York", "daily_report_at": "23:00"},
    ],
)
async def test_a_day_has_no_second_one_whatever_the_rules_are_changed_to(
    changes: dict[str, Any],
) -> None:
    scene = Scene(BERLIN)
    assert await look(scene, "2026-03-02T07:00:00") == 1
    await scene.do(ChangeRules(changes))
    for minute in range(0, 48 * 60, 20):
        moment = at("2026-03-02T07:00:00") + timedelta(minutes=minute)
        await look(scene, moment.isoformat().removesuffix("+00:00"))
    days = [end for _, end, daily in drawn(scene) if daily]
    assert days == sorted(set(days))


@pytest.mark.parametrize(
    ("day", "at_eight", "before"),
    [
        ("2026-03-29", "2026-03-29T06:00:00", "2026-03-29T05:59:59"),
        ("2026-10-25", "2026-10-25T07:00:00", "2026-10-25T06:59:59"),
    ],
)
async def test_on_days_of_23_and_of_25_hours_it_is_made_at_eight_by_the_clock(
    day: str, at_eight: str, before: str
) -> None:
    scene = Scene(BERLIN)
    assert await look(scene, before) == 0
    assert await look(scene, at_eight) == 1
    assert drawn(scene)[0][1] == day


@pytest.mark.parametrize(
    ("time", "before", "comes", "again"),
    [
        ("02:30", "2026-03-29T00:59:59", "2026-03-29T01:00:00", "2026-03-29T01:30:00"),
        ("02:30", "2026-10-25T00:29:59", "2026-10-25T00:30:00", "2026-10-25T01:30:00"),
    ],
)
async def test_a_time_that_clocks_leave_out_or_show_twice_makes_one(
    time: str, before: str, comes: str, again: str
) -> None:
    scene = Scene(replace(BERLIN, daily_report_at=time))
    assert [await look(scene, moment) for moment in (before, comes, again)] == [0, 1, 0]


async def test_what_people_ask_for_is_neither_counted_nor_hindered() -> None:
    scene = Scene(BERLIN)
    scene.services.clock.at = at("2026-03-02T06:00:00")
    await scene.do(
        DrawUpReport(ReportBody(report_date_start="2026-02-28", report_date_end="2026-03-02"))
    )
    assert await look(scene, "2026-03-02T07:00:00") == 1
    await scene.do(DrawUpReport(ReportBody()))
    assert [daily for *_, daily in drawn(scene)] == [False, True, False]


async def test_a_clock_that_is_put_back_makes_no_second_one() -> None:
    scene = Scene(BERLIN)
    assert await look(scene, "2026-03-02T07:00:00") == 1
    assert await look(scene, "2026-03-02T06:00:00") == 0
    assert await look(scene, "2026-03-02T07:00:00") == 0


async def test_too_early_and_too_often_are_said_in_words() -> None:
    scene = Scene(BERLIN)
    scene.services.clock.at = at("2026-03-02T06:00:00")
    with pytest.raises(NotDueYet, match="made at 08:00"):
        await scene.do(DrawUpDailyReport())
    await look(scene, "2026-03-02T07:00:00")
    with pytest.raises(DailyReportMade, match="report-1"):
        await scene.do(DrawUpDailyReport())


@pytest.mark.parametrize("role", [Role.USER, Role.TRAINER, Role.STAFFER, Role.OTHER])
async def test_it_is_not_for_those_who_draw_up_none(role: Role) -> None:
    scene = Scene(BERLIN)
    scene.services.clock.at = at("2026-03-02T07:00:00")
    with pytest.raises(Forbidden):
        await scene.do(DrawUpDailyReport(), Caller.user(1, role))
