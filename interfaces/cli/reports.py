"""`club reports`: the reports, made and refreshed by hand."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from pydantic import ValidationError

from application.reports import DrawUpReport, ReportBody
from infra.bootstrap import Club
from interfaces.cli.opening import ask, complain, with_club
from interfaces.cli.together import progress_bar
from projections.catalogue import FIGURES
from projections.subscriptions import LATEST

app = typer.Typer(help="The reports.", no_args_is_help=True)


@app.callback()
def reports() -> None:
    """The reports."""


@app.command("refresh")
def refresh() -> None:
    """Take in what has happened since the figures were refreshed last; not everything anew."""

    async def refreshed(club: Club) -> int:
        with progress_bar("events") as progress:
            behind = (await club.health()).report["projectors"][FIGURES.name]["lag"]
            task = progress.add_task("events", total=behind)
            return await club.refresh_reports(lambda events: progress.advance(task, events))

    taken = with_club(refreshed, projecting=False)
    print(f"Took in {taken} events." if taken else "There was nothing new.")


@app.command("status")
def status() -> None:
    """Say how far the figures are, who has the morning's sent, and what became of that."""

    async def looked(club: Club) -> tuple[dict[str, Any], list[tuple[Any, ...]]]:
        await club.read_side.reached(await club.ledger.head())
        shown = (await club.health()).report["projectors"][FIGURES.name]
        return shown, await club.postgres.rows(LATEST)

    shown, deliveries = with_club(looked, projecting=False)
    print(f"The figures are at position {shown['position']}, {shown['lag']} behind.")
    for username, day, state, reason, again_at in deliveries:
        said = "nothing was sent yet" if day is None else f"{state}, for {day}"
        again = f"; tried again at {again_at}" if again_at is not None else ""
        print(f"  {username}: {said}{': ' if reason else ''}{reason or ''}{again}")


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
