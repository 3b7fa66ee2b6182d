"""`club projections`: the read tables."""

from __future__ import annotations

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from infra.bootstrap import Club
from infra.rebuilding import RebuildRunning, Rebuilt
from interfaces.cli.opening import complain, with_club

app = typer.Typer(help="The read tables.", no_args_is_help=True)


@app.callback()
def projections() -> None:
    """The read tables."""


@app.command("rebuild")
def rebuild() -> None:
    """Build all read tables again from the ledger, while the club stays open."""

    async def rebuilt(club: Club) -> Rebuilt:
        columns = (TextColumn("events"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=Console(stderr=True)) as progress:
            task = progress.add_task("events", total=await club.ledger.head())
            return await club.rebuild(lambda events: progress.advance(task, events))

    try:
        done = with_club(rebuilt)
    except RebuildRunning as running:
        complain(running.__doc__ or "")
        raise typer.Exit(1) from None
    print(f"Rebuilt from {done.events} events, up to position {done.position}.")
    for name in done.differing:
        print(f"  {name} was not what the ledger says; now it is.")
