"""Commands about reports."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import Field

from application.access import Permission
from application.command import Command
from application.fields import Body, Day
from application.work import Result, Work, result_of
from domain.days import day_of
from domain.reports import Report


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


async def draw_up_report(command: DrawUpReport, work: Work) -> Result:
    """What it shows is computed by its projector, from the log."""
    work.must_reach_all(Permission.REPORTS_DRAW_UP)
    zone = (await work.rules()).timezone
    today = day_of(work.at, zone)
    start = command.body.report_date_start or command.body.report_date_end or today
    end = command.body.report_date_end or start
    number = await work.new_number(Report)
    return result_of(work.add(Report.draw_up(number, start, end, zone, work.at)))
