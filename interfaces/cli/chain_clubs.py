"""`club chain clubs`: the clubs of a chain."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

import typer
import uvloop

from infra.chain import clubs
from infra.chain.store import ChainStore, open_chain
from infra.settings import Settings
from interfaces.cli.chain_opening import chain_settings

T = TypeVar("T")

app = typer.Typer(help="The clubs of a chain.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="what the club is called in the chain")]
Address = Annotated[
    str, typer.Argument(metavar="LEDGER_URL", help="the club's own CLUB_DATABASE_URL")
]

Own = Annotated[
    str | None,
    typer.Argument(
        metavar="LEDGER_URL",
        help="the club's own CLUB_DATABASE_URL, where the chain may only read; it is not kept",
    ),
]


@app.callback()
def of_chain() -> None:
    """The clubs of a chain."""


@app.command("add")
def add(name: Name, ledger_url: Address) -> None:
    """Have a club join, with all that ever happened in it."""
    with_chain(lambda store: clubs.add(store, name, ledger_url), building=True)
    print(f"{name} is in the chain.")


@app.command("list")
def listed() -> None:
    """Say who is in the chain, and how far it is with each."""
    for club in with_chain(clubs.every):
        end = "" if club.head is None else f" of {club.head}"
        print(club.name)
        for place in club.places:
            why = "" if place.reason is None else f", stands still: {place.reason}"
            print(f"  {place.group} {place.generation}: at position {place.position}{end}{why}")


@app.command("remove")
def remove(name: Name) -> None:
    """Have a club leave: its rows go, and nothing of it is taken in any more."""
    with_chain(lambda store: clubs.remove(store, name))
    print(f"{name} is in the chain no longer.")


@app.command("move")
def move(name: Name, ledger_url: Address) -> None:
    """Say where the ledger of a club is by now; it has to be the same ledger."""
    with_chain(lambda store: clubs.move(store, name, ledger_url))
    print(f"The ledger of {name} is read there from now on.")


@app.command("again")
def again(name: Name, ledger_url: Own = None) -> None:
    """Take a club in anew from its ledger, whatever a copy of it published before."""
    with_chain(lambda store: clubs.again(store, name, ledger_url))
    print(f"{name} is taken in anew from its ledger, and its publisher has another secret.")


def with_chain(work: Callable[[ChainStore], Awaitable[T]], *, building: bool = False) -> T:
    """Open the chain's store for one piece of work; `building` makes it where there is none."""

    async def opened(found: Settings) -> T:
        async with open_chain(found.chain_database_url or "", building=building) as store:
            return await work(store)

    with chain_settings() as found:
        return uvloop.run(opened(found))
