"""`club projections`: the read tables."""

from __future__ import annotations

import typer

from infra.bootstrap import Club
from infra.following.rebuilding import Rebuilt
from infra.health import Health
from interfaces.cli.opening import with_club
from interfaces.cli.together import progress_bar
from projections.catalogue import GROUPS

app = typer.Typer(help="The read tables.", no_args_is_help=True)


@app.callback()
def projections() -> None:
    """The read tables."""


@app.command("status")
def status() -> None:
    """Say how far each group of read tables is, and how the processes that project are doing."""

    async def looked(club: Club) -> Health:
        return await club.health()

    found = with_club(looked, projecting=False)
    for name, group in found.report["projectors"].items():
        print(f"{name}: {group['status']}, at position {group['position']}, {group['lag']} behind")
        if "detail" in group:
            print(f"  {group['detail']} (since {group.get('since', 'this start')})")


@app.command("rebuild")
def rebuild() -> None:
    """Build all read tables again from the ledger, while the club stays open."""

    async def rebuilt(club: Club) -> Rebuilt:
        with progress_bar("events") as progress:
            task = progress.add_task("events", total=len(GROUPS) * await club.ledger.head())
            return await club.rebuild(lambda events: progress.advance(task, events))

    done = with_club(rebuilt, building=True)
    print(f"Rebuilt from {done.events} events, up to position {done.position}.")
    for name in done.differing:
        print(f"  {name} was not what the ledger says; now it is.")
