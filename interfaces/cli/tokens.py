"""`club tokens`: tokens for whoever sits at the machine."""

from __future__ import annotations

from typing import Annotated

import typer

from infra.bootstrap import Club
from infra.settings import Settings
from interfaces.cli.opening import named, with_club

app = typer.Typer(help="Access tokens.", no_args_is_help=True)
MINUTE = 60

Minutes = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=1440,
        help="how long it is good for",
        show_default="CLUB_ACCESS_TOKEN_MINUTES",
    ),
]


def seconds(minutes: int | None, found: Settings) -> int:
    """For how long a token is good, as it was asked for or is set."""
    return (minutes or found.access_token_minutes) * MINUTE


@app.callback()
def tokens() -> None:
    """Access tokens."""


@app.command("issue")
def issue(
    username: Annotated[str, typer.Argument(help="whose token")],
    minutes: Minutes = None,
) -> None:
    """Print an access token of a user, and nothing else."""

    async def issued(club: Club) -> str:
        user_id = await named(club, username)
        return club.tokens.access_token(user_id, None, seconds(minutes, club.settings))

    print(with_club(issued, signing=True))
