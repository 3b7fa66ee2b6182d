"""`club keys`: the keys that sign the club's tokens."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from infra.keys import Keys
from interfaces.cli.opening import settings

app = typer.Typer(help="The keys that sign tokens.", no_args_is_help=True)


@app.callback()
def keys() -> None:
    """The keys that sign tokens."""


@app.command("rotate")
def rotate(
    compromised: Annotated[
        bool,
        typer.Option(
            "--compromised", help="end every token that is out: somebody else may have the old key"
        ),
    ] = False,
) -> None:
    """Sign with a new key from here on; tokens of the old one are good until they end."""
    found = settings()
    kept = Keys(found.home)
    if compromised:
        print(f"Tokens are signed with {kept.rotate(time.time()).kid}; all others have ended.")
        return
    until = datetime.now(UTC) + timedelta(days=found.session_days)
    new = kept.rotate(until.timestamp())
    print(f"Tokens are signed with {new.kid}; older ones are good until {until:%Y-%m-%d} at most.")
