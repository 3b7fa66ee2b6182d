"""Commands about reports."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from pydantic import Field

from application.access import Permission
from application.command import Command
from application.fields import Body, Day
from application.work import Result, Work, result_of
from domain.aggregate import text_time
from domain.days import day_of, moment_of
from domain.reports import DailyReportMade, NotDueYet, Report
from domain.reservations import Value

DAYS_BEFORE = 2
"""Days before today that a daily report covers, too."""


class ReportBody(Body):
    """The days that a report covers; today, unless they are told."""

    report_date_start: Day | None = Field(
        default=None, description="the day of the end, or today, unless it is told"
    )
    report_date_end: Day | None = Field(
        default=None, description="the day of the start, unless it is told"
    )


@dataclass(frozen=True, slots=True)
class DrawUpReport(Command):
    """Report on the new users of some days."""

    body: ReportBody


@dataclass(frozen=True, slots=True)
class DrawUpDailyReport(Command):
    """Report on the new users of the three days up to now, once a day."""


def daily_report_of(day: str) -> Value:
    """What is reserved by the daily report of a day."""
    return Value("daily-report", day)


async def draw_up_report(command: DrawUpReport, work: Work) -> Result:
    """What it shows is computed by its projector, from the log."""
    work.must_reach_all(Permission.REPORTS_DRAW_UP)
    zone = (await work.rules()).timezone
    today = day_of(work.at, zone)
    start = command.body.report_date_start or command.body.report_date_end or today
    end = command.body.report_date_end or start
    number = await work.new_number(Report)
    return result_of(work.add(Report.draw_up(number, start, end, zone, work.at)))


async def draw_up_daily_report(_: DrawUpDailyReport, work: Work) -> Result:
    """For the club itself, from its time of the day on; the day is reserved with the report.

    So of all who try, one makes it, and a day of this name has no second one, whatever the rules
    were changed to meanwhile.
    """
    work.must_reach_all(Permission.REPORTS_DRAW_UP)
    rules = await work.rules()
    today = day_of(work.at, rules.timezone)
    if work.at < text_time(moment_of(today, rules.daily_report_at, rules.timezone)):
        raise NotDueYet(at=rules.daily_report_at)
    the_one = daily_report_of(today)
    await work.must_be_free(the_one, DailyReportMade)
    start = (date.fromisoformat(today) - timedelta(days=DAYS_BEFORE)).isoformat()
    number = await work.new_number(Report)
    report = Report.draw_up(number, start, today, rules.timezone, work.at, daily=True)
    work.add(report)
    await work.claim(the_one, report, DailyReportMade)
    return result_of(report)
