"""`club projections`: the read tables."""

from __future__ import annotations

import typer

from infra.bootstrap import Club
from infra.health import Health
from interfaces.cli.opening import with_club
from interfaces.cli.replay import replay

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
    """Build all read tables again from the ledger: what `club replay` does."""
    replay()
