"""`club chain users`: who reads a chain. They are nobody's users of any club."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager as Opening
from enum import StrEnum
from functools import partial
from typing import Annotated, TypeVar

import typer
import uvloop
from pydantic import ValidationError

from application.fields import Body, Username
from application.page_links import CHAIN_PATH, PARAMETER
from domain.text import composed
from domain.values import Role
from infra.chain.people import People
from infra.chain.reading import Chain, open_people, open_reading
from infra.settings import Settings
from interfaces.cli.chain_opening import chain_settings
from interfaces.cli.opening import complain
from interfaces.cli.tokens import Minutes, seconds

C = TypeVar("C")
T = TypeVar("T")

app = typer.Typer(help="Who reads what there is of a chain.", no_args_is_help=True)


class Reads(StrEnum):
    """What somebody may be in a chain."""

    ADMIN = "ADMIN"
    ANALYST = "ANALYST"


class Named(Body):
    """What somebody is called in a chain."""

    name: Username


Name = Annotated[str, typer.Argument(metavar="NAME", help="who reads")]
AN_ADMIN = "an ADMIN is also told what goes wrong"


@app.callback()
def users() -> None:
    """Who reads what there is of a chain."""


@app.command("add")
def add(
    name: Name,
    role: Annotated[Reads, typer.Option(case_sensitive=False, help=AN_ADMIN)] = Reads.ANALYST,
) -> None:
    """Let somebody read the chain; `token` and `link` are what they read it with."""
    try:
        called = Named(name=name).name
    except ValidationError as wrong:
        complain(f"NAME: {wrong.errors()[0]['msg']}")
        raise typer.Exit(2) from None
    with_people(lambda people: people.add(called, Role(role.value)))
    print(f"{called} reads the chain as {role.value}.")


@app.command("list")
def everybody() -> None:
    """Say who reads the chain."""
    for reader in with_people(lambda people: people.all()):
        print(f"{reader.name}: {reader.role.value}")


@app.command("set-role")
def set_role(
    name: Name,
    role: Annotated[Reads, typer.Argument(metavar="ROLE", case_sensitive=False, help=AN_ADMIN)],
) -> None:
    """Let somebody read as ADMIN or ANALYST from now on."""
    with_people(lambda people: people.set_role(composed(name), Role(role.value)))
    print(f"{name} reads the chain as {role.value}.")


@app.command("remove")
def remove(name: Name) -> None:
    """Let somebody read nothing any more, whatever tokens and links they have."""
    with_people(lambda people: people.remove(composed(name)))
    print(f"{name} reads the chain no longer.")


@app.command("token")
def token(
    name: Name,
    minutes: Minutes = None,
) -> None:
    """Print an access token of a reader, and nothing else."""

    async def issued(chain: Chain) -> str:
        reader = await chain.people.named(composed(name))
        return chain.tokens.access_token(reader.number, None, seconds(minutes, chain.settings))

    print(with_readers(issued))


@app.command("link")
def link(name: Name) -> None:
    """Print a link with which a reader opens the overview in a browser, for a day."""

    async def made(chain: Chain) -> str:
        reader = await chain.people.named(composed(name))
        address = (await chain.address()).rstrip("/")
        token = (await chain.links.make(reader.number)).token
        return f"{address}{CHAIN_PATH}?{PARAMETER}={token}"

    print(with_readers(made))


def with_people(work: Callable[[People], Awaitable[T]]) -> T:
    """Open the chain for something about its people, which needs no keys."""
    return _done(open_people, work)


def with_readers(work: Callable[[Chain], Awaitable[T]]) -> T:
    """Open the chain to sign something for who reads it: with its keys, which have to be there."""
    return _done(partial(open_reading, signing=True), work)


def _done(opening: Callable[[Settings], Opening[C]], work: Callable[[C], Awaitable[T]]) -> T:
    async def opened(found: Settings) -> T:
        async with opening(found) as chain:
            try:
                return await work(chain)
            except Exception as why:  # noqa: BLE001 - raised again below
                fault = why
        # Out here, as the chain's task group would wrap it.
        raise fault

    with chain_settings() as found:
        return uvloop.run(opened(found))
