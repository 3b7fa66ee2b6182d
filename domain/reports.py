"""A report that somebody asked for, or that is made daily; its rows are computed from the log."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from domain import upcasts
from domain.aggregate import Aggregate, CreatedEvent
from domain.days import end_of, start_of
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
    upcast_v1_v2 = staticmethod(upcasts.days_of_the_zone)
    upcast_v2_v3 = staticmethod(upcasts.asked_for)
    report_date_start: Plain[str]
    report_date_end: Plain[str]
    timezone: Plain[str]
    starts_at: Plain[str]
    ends_before: Plain[str]
    daily: Plain[bool]

    def apply(self, aggregate: Report) -> None:
        """What it covers holds for good."""
        aggregate.facts = {
            "report_date_start": self.report_date_start,
            "report_date_end": self.report_date_end,
        }
