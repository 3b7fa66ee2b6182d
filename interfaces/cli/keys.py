"""`club keys`: the keys that sign the club's tokens."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from infra.secrets.clocks import APART
from infra.secrets.keys import Keys
from interfaces.cli.opening import in_plain_words, look_for_keys, settings

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
    now = datetime.now(UTC)
    until = now if compromised else now + timedelta(days=found.session_days) + APART
    with in_plain_words():
        look_for_keys(found)
        new = Keys(found.home).rotate(until.timestamp())
    older = f"older ones are good until {until:%Y-%m-%d} at most"
    others = "all others have ended" if compromised else older
    print(f"Tokens are signed with {new.kid}; {others}.")
