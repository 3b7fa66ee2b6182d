"""`club stream compare`: whether a chain has of each club what the club itself has."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

import typer
import uvloop

from infra.chain.beginning import groups_of
from infra.chain.comparing import Compared, clubs_named, compare
from infra.chain.store import open_chain
from infra.settings import Settings
from interfaces.cli.chain_opening import chain_settings

DIFFERENT, NOT_COMPARED = 1, 2
"""The exit statuses where not everything is right."""

Names = Annotated[
    list[str] | None, typer.Argument(metavar="CLUB...", help="all, where none is named")
]


def compare_clubs(club: Names = None) -> None:
    """Compare the rows of clubs in the chain with what their ledgers give, at the same position.

    Ends with 1 where rows differ, and prints the first of them; with 2 where it cannot be told.
    """
    with chain_settings() as found:
        done = uvloop.run(_compared(found, club or []))
    if any(one.differing for one in done):
        raise typer.Exit(DIFFERENT)
    if any(one.unknown for one in done):
        raise typer.Exit(NOT_COMPARED)


async def _compared(found: Settings, names: list[str]) -> list[Compared]:
    done = []
    async for one in _each(found, names):
        done.append(one)
        _tell(one)
    return done


async def _each(found: Settings, names: list[str]) -> AsyncIterator[Compared]:
    async with open_chain(found.chain_database_url or "", groups_of(found)) as store:
        for club in await clubs_named(store, names):
            for group in store.groups:
                yield await compare(store, group, club)


def _tell(one: Compared) -> None:
    """What was found, for people."""
    which = f"{one.club}: {one.group} {one.generation}, at position {one.position}"
    if one.unknown:
        print(f"{which}: cannot be compared: {one.unknown}")
        return
    said = f"{', '.join(one.differing)} differs" if one.differing else "nothing differs"
    print(f"{which}: {said} from {one.beside}")
    for row in one.first:
        where = " ".join(filter(None, [row.table, row.key, row.column]))
        print(f"  {where}: is {row.found}, should be {row.due}")
