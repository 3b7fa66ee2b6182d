"""`club reports link`: a link that opens the overview in a browser."""

from __future__ import annotations

from typing import Annotated

import typer

from application.page_links import MakePageLinkFor
from infra.bootstrap import Club
from interfaces.cli.opening import ask, named, with_club


def link(username: Annotated[str, typer.Argument(help="who reads with it")]) -> None:
    """Print a link with which a user opens the overview in a browser, for a day."""

    async def made(club: Club) -> str:
        outcome = await ask(club, MakePageLinkFor(await named(club, username)))
        return club.settings.address + str((outcome.shown or {})["url"])

    print(with_club(made, signing=True))
