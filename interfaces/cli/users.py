"""`club users`: who may sign in."""

from __future__ import annotations

import sys
from getpass import getpass
from typing import Annotated

import typer
from pydantic import ValidationError

from application.sessions import UnbindTelegram
from application.users import ChangeUser, NewUser, RegisterUser, UserChanges
from domain.values import Role
from infra.bootstrap import Club
from interfaces.cli.opening import ask, complain, named, with_club

ROLES = ", ".join(Role)

app = typer.Typer(help="Who may sign in.", no_args_is_help=True)


def _role(typed: str) -> Role:
    """A role, in whatever case it is typed."""
    try:
        return Role(typed.upper())
    except ValueError:
        raise typer.BadParameter(f"there is no role {typed}; there are {ROLES}") from None


@app.callback()
def users() -> None:
    """Who may sign in."""


@app.command("create-admin")
def create_admin(
    username: Annotated[str, typer.Option(help="the name to sign in with")],
    email: Annotated[str, typer.Option(help="the address")],
) -> None:
    """Make an ADMIN; the password comes from the prompt, or from standard input."""
    try:
        body = NewUser(username=username, email=email, password=_password(), role=Role.ADMIN)
    except ValidationError as wrong:
        for error in wrong.errors():
            complain(f"{error['loc'][0]}: {error['msg']}")
        raise typer.Exit(2) from None

    async def create(club: Club) -> int:
        outcome = await ask(club, RegisterUser(body))
        return int((outcome.body or {})["id"])

    print(f"User {with_club(create)} is ADMIN: {username}")


@app.command("set-role")
def set_role(
    username: Annotated[str, typer.Argument(help="whose role")],
    role: Annotated[str, typer.Argument(metavar="ROLE", help=f"what it becomes: {ROLES}")],
) -> None:
    """Give a user another role; the last ADMIN stays one."""
    given = _role(role)

    async def change(club: Club) -> None:
        changes = UserChanges.model_validate({"role": given})
        await ask(club, ChangeUser(await named(club, username), changes))

    with_club(change)
    print(f"{username} is {given.value}.")


@app.command("unbind-telegram")
def unbind_telegram(username: Annotated[str, typer.Argument(help="whose account")]) -> None:
    """Let the next sign-in of a user bind a Telegram account anew; all its sessions end."""

    async def unbind(club: Club) -> None:
        await ask(club, UnbindTelegram(await named(club, username)))

    with_club(unbind)
    print(f"The next sign-in of {username} binds a Telegram account anew.")


def _password() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    password = getpass("Password: ")
    if getpass("Again: ") != password:
        complain("The two are not the same.")
        raise typer.Exit(2)
    return password
