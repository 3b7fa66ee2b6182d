"""A report that somebody asked for, or that is made daily; its rows are computed from the log."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Self

from domain.aggregate import Aggregate, CreatedEvent
from domain.days import end_of, is_zone, start_of
from domain.privacy import Plain
from domain.refusals import Conflict, Invalid


class ReportEndsFirst(Invalid):
    """A report ends on the day it starts, or later."""


class NotDueYet(Conflict):
    """The daily report is made at {at}, by the clock of the club."""


class DailyReportMade(Conflict):
    """The daily report of this day is made: it is {holder}."""


class Report(Aggregate):
    """The new users of some days."""

    TOPIC = "report"

    @classmethod
    def draw_up(
        cls,
        number: int,
        start: str,
        end: str,
        timezone: str,
        at: datetime,
        *,
        daily: bool = False,
    ) -> Self:
        """Report on the days from `start` to `end`, both included; `daily`, for all to have."""
        if end < start:
            raise ReportEndsFirst(field="report_date_end")
        return cls.begin(
            number,
            DrawnUp,
            at=at,
            report_date_start=start,
            report_date_end=end,
            timezone=timezone,
            starts_at=start_of(start, timezone),
            ends_before=end_of(end, timezone),
            daily=daily,
        )


class DrawnUp(CreatedEvent):
    """A report on the new users of some days, the days of the club's time zone.

    Since version 2 it says which moments these are: zones change, what was asked does not. Since
    version 3 it says whether it is the one that is made daily.
    """

    TOPIC = "report.drawn-up"
    class_version = 3
    report_date_start: Plain[str]
    report_date_end: Plain[str]
    timezone: Plain[str]
    starts_at: Plain[str]
    ends_before: Plain[str]
    daily: Plain[bool]

    @staticmethod
    def upcast_v1_v2(state: dict[str, Any]) -> None:
        """The first version left it to whoever read it to know when days begin."""
        zone = state["timezone"]
        if not is_zone(zone):
            # Other tz databases know more names, of which some put a room before the zone's own.
            zone = zone.partition("/")[2] if is_zone(zone.partition("/")[2]) else "UTC"
        state["starts_at"] = start_of(state["report_date_start"], zone)
        state["ends_before"] = end_of(state["report_date_end"], zone)

    @staticmethod
    def upcast_v2_v3(state: dict[str, Any]) -> None:
        """Somebody had asked for each of them."""
        state["daily"] = False

    def apply(self, aggregate: Report) -> None:
        """What it covers holds for good."""
        aggregate.facts = {
            "report_date_start": self.report_date_start,
            "report_date_end": self.report_date_end,
        }
