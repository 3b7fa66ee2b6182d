"""`club chain …`: a chain of clubs, for whoever runs it."""

from __future__ import annotations

import typer

from interfaces.cli import chain_clubs, chain_users

app = typer.Typer(
    name="chain", help="A chain of clubs: who is in it, and who reads it.", no_args_is_help=True
)
app.add_typer(chain_clubs.app, name="clubs")
app.add_typer(chain_users.app, name="users")
