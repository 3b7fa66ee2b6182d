"""`club tokens`: tokens for whoever sits at the machine."""

from __future__ import annotations

from typing import Annotated

import typer

from domain.refusals import NotFound
from infra.bootstrap import Club
from interfaces.cli.opening import with_club
from projections.users import BY_USERNAME

app = typer.Typer(help="Access tokens.", no_args_is_help=True)
MINUTE = 60


@app.callback()
def tokens() -> None:
    """Access tokens."""


@app.command("issue")
def issue(
    username: Annotated[str, typer.Argument(help="whose token")],
    minutes: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=1440,
            help="how long it is good for",
            show_default="CLUB_ACCESS_TOKEN_MINUTES",
        ),
    ] = None,
) -> None:
    """Print an access token of a user, and nothing else."""

    async def issued(club: Club) -> str:
        await club.read_side.reached(await club.ledger.head())
        found = await club.reads.rows(BY_USERNAME, username)
        if not found:
            raise NotFound(what="user", id=username)
        lifetime = minutes or club.settings.access_token_minutes
        return club.tokens.issue(found[0][0], lifetime * MINUTE)

    print(with_club(issued))
