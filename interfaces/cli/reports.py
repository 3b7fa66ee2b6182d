"""`club reports`: the reports, made and refreshed by hand."""

from __future__ import annotations

from typing import Annotated

import typer
from pydantic import ValidationError

from application.reports import DrawUpReport, ReportBody
from infra.bootstrap import Club
from interfaces.cli.opening import ask, complain, with_club
from interfaces.cli.together import progress_bar

app = typer.Typer(help="The reports.", no_args_is_help=True)


@app.callback()
def reports() -> None:
    """The reports."""


@app.command("refresh")
def refresh() -> None:
    """Take in what has happened since the figures were refreshed last; not everything anew."""

    async def refreshed(club: Club) -> int:
        with progress_bar("events") as progress:
            task = progress.add_task("events", total=None)
            return await club.refresh_reports(lambda events: progress.advance(task, events))

    taken = with_club(refreshed, projecting=False)
    print(f"Took in {taken} events." if taken else "There was nothing new.")


@app.command("make")
def make(
    first: Annotated[str, typer.Argument(metavar="FROM", help="the first day: 2026-01-01")],
    last: Annotated[str, typer.Argument(metavar="TO", help="the last day: 2026-01-31")],
) -> None:
    """Report on the new users of some days, and print its number and route."""
    body = _days(first, last)

    async def made(club: Club) -> int:
        outcome = await ask(club, DrawUpReport(body))
        return int((outcome.body or {})["id"])

    number = with_club(made)
    print(f"Report {number} is at /reports/{number}/")


def _days(first: str, last: str) -> ReportBody:
    """What is asked for; a wrong day ends the program with its name."""
    try:
        return ReportBody(report_date_start=first, report_date_end=last)
    except ValidationError as wrong:
        names = {"report_date_start": f"FROM {first!r}", "report_date_end": f"TO {last!r}"}
        for error in wrong.errors():
            complain(f"{names[str(error['loc'][0])]} is not a day from 1900 to 2199: 2026-01-31.")
        raise typer.Exit(2) from None
