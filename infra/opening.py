"""The database of a club, found or made: the embedded Postgres, or one that was given."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack

from infra.faults import Fault
from infra.following.rebuilding import make_missing
from infra.ledger.numbers import put_right
from infra.ledger.postgres import Desks, Postgres
from infra.ledger.schema import (
    ChainThere,
    LedgerMissing,
    Opened,
    advance_ledger,
    has_chain,
    has_ledger,
    open_ledger,
)
from infra.servers.embedded_postgres import embedded_postgres, has_database
from infra.settings import Settings
from projections.catalogue import GROUPS

Tell = Callable[[str], None]
"""Hears in a sentence what is being made, as it begins."""


def quietly(_: str) -> None:
    """Nobody waits for it."""


MAKING_POSTGRES = "Making a Postgres of the club's own in {folder}: some seconds, this once."
MAKING_TABLES = "Making the club's tables."


class HomeMissing(Fault):
    """There is no club in {home}: `club run` makes one, and CLUB_HOME says where."""


async def open_database(
    settings: Settings, stack: AsyncExitStack, *, building: bool, founding: Tell | None
) -> tuple[Postgres, Opened]:
    """The database, and what is known of the ledger in it."""
    url = server_url(settings, stack, founding)
    postgres = Postgres(
        url,
        Desks(
            deciding=settings.deciding_connections,
            showing=settings.showing_connections,
            listing=settings.listing_connections,
            showing_seconds=settings.showing_seconds,
        ),
    )
    async with await postgres.connect(autocommit=True) as connection:
        if building:
            if not await has_ledger(connection):
                if await has_chain(connection):
                    raise ChainThere
                if founding is None:
                    raise LedgerMissing
                founding(MAKING_TABLES)
            await advance_ledger(connection)
            await make_missing(postgres, GROUPS)
        opened = await open_ledger(connection)
        await put_right(connection)
    if not opened.has_tables:
        raise LedgerMissing
    await stack.enter_async_context(postgres.open())
    return postgres, opened


def server_url(settings: Settings, stack: AsyncExitStack, founding: Tell | None) -> str:
    """The address of the database: of the embedded Postgres, where no other is set."""
    if settings.database_url is None:
        if not has_database(settings.home):
            if founding is None:
                raise HomeMissing(home=settings.home)
            settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
            founding(MAKING_POSTGRES.format(folder=settings.home / "postgres"))
        return stack.enter_context(embedded_postgres(settings.home))
    settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    return settings.database_url
