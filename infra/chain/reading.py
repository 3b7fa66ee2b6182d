"""A chain as it is read: opened on its database, for whoever serves it or keeps its people."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from application.ports.chain import ChainUnavailable
from application.ports.ledger import LedgerUnavailable, TookTooLong
from infra.chain.figures import FiguresOfChain
from infra.chain.heads import Heads
from infra.chain.health import Health, Lookout, Metrics
from infra.chain.listing import clubs_of
from infra.chain.people import Callers, Links, Pages, People
from infra.chain.store import open_chain
from infra.faults import Fault
from infra.ledger.desk import Desk, TablesOfAnotherRelease
from infra.ledger.postgres import Desks, Postgres
from infra.parts import Parts
from infra.secrets.clocks import SystemClock
from infra.secrets.keys import Keys, has_keys
from infra.secrets.tokens import SignedTokens, of_chain
from infra.settings import Settings
from projections.catalogue import GROUPS
from projections.engine.reads import Rows

_IDENTITY = "SELECT id::text FROM chain_identity"
_SERVED_AT = "SELECT served_at FROM chain_identity"
_SERVE_AT = "UPDATE chain_identity SET served_at = %s"


class NoChainDatabase(Fault):
    """Nothing says where the chain's database is: set CLUB_CHAIN_DATABASE_URL."""


class KeysMissing(Fault):
    """The keys of the chain are not in {home}: `club run --chain` makes them there.

    CLUB_HOME says where that is.
    """


class NeverServed(Fault):
    """Nobody has served this chain yet, so a link leads nowhere: `club run --chain` does."""


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain that is open to be read, as interfaces see it."""

    settings: Settings
    postgres: Postgres
    people: People
    callers: Callers
    tokens: SignedTokens
    keys: Keys
    figures: FiguresOfChain
    clubs: Pages
    clubs_and_why: Pages
    links: Links
    parts: Parts
    lookout: Lookout
    heads: Heads
    metrics: Metrics = field(default_factory=Metrics)

    async def address(self) -> str:
        """Where its API is reached, as whoever served it last has said; raises NeverServed."""
        ((address,),) = await self.postgres.rows(_SERVED_AT)
        if address is None:
            raise NeverServed
        return str(address)

    async def served_at(self, address: str) -> None:
        """Let others know where its API is reached."""
        await self.postgres.rows(_SERVE_AT, [address])

    async def health(self) -> Health:
        """How every part of the chain is doing."""
        return await self.lookout.health()


@asynccontextmanager
async def open_reading(
    settings: Settings, *, serving: bool = False, signing: bool = False
) -> AsyncIterator[Chain]:
    """The chain of these settings.

    `serving` tells all others of it, and looks how far the ledgers of the clubs are. `signing` is
    for work with keys of the chain that are there: new ones would be good for nothing. Raises
    KeysMissing, NoChainDatabase, and what `open_chain` raises; no chain is made.
    """
    async with _opened(settings) as postgres:
        if signing and not has_keys(settings.home):
            raise KeysMissing(home=settings.home)
        ((identity,),) = await postgres.rows(_IDENTITY)
        chain = _wire(settings, postgres, identity)
        async with asyncio.TaskGroup() as tasks:
            running = [postgres.keep_watch()]
            if serving:
                running += [chain.parts.run(), chain.heads.run()]
            at_work = [tasks.create_task(one) for one in running]
            try:
                yield chain
            finally:
                for task in at_work:
                    task.cancel()


@asynccontextmanager
async def open_people(settings: Settings) -> AsyncIterator[People]:
    """The people of the chain of these settings, without what is signed for them; raises alike."""
    async with _opened(settings) as postgres:
        yield People(_rows_of(postgres.deciding))


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[Postgres]:
    if settings.chain_database_url is None:
        raise NoChainDatabase
    desks = Desks(
        deciding=settings.deciding_connections,
        listing=settings.listing_connections,
        showing_seconds=settings.showing_seconds,
        follows=False,
    )
    async with open_chain(settings.chain_database_url, desks=desks) as store:
        yield store.postgres


def _rows_of(desk: Desk) -> Rows:
    async def rows(sql: str, params: Sequence[Any]) -> list[tuple[Any, ...]]:
        """The rows of one query of the chain's database."""
        try:
            return await desk.rows(sql, params)
        except (TookTooLong, TablesOfAnotherRelease):
            raise
        except LedgerUnavailable as away:
            raise ChainUnavailable(str(away)) from away

    return rows


def _wire(settings: Settings, postgres: Postgres, identity: str) -> Chain:
    rows, lists = _rows_of(postgres.deciding), _rows_of(postgres.listing)
    keys, clock = Keys(settings.home), SystemClock()
    # Not by where it is reached: whoever prints a token need not know that.
    tokens = SignedTokens(keys, f"urn:uuid:{identity}", of_chain(identity))
    groups = [group for group in GROUPS if group.name in settings.chain_groups.split(",")]
    computed = "figures" in settings.chain_groups.split(",")
    parts, metrics = Parts(postgres), Metrics()
    return Chain(
        settings=settings,
        postgres=postgres,
        people=People(rows),
        callers=Callers(tokens, rows),
        tokens=tokens,
        keys=keys,
        figures=FiguresOfChain(lists, settings.timezone, clock, computed=computed),
        clubs=Pages(lists, clubs_of(groups, why=False)),
        clubs_and_why=Pages(lists, clubs_of(groups, why=True)),
        links=Links(rows, tokens, clock),
        parts=parts,
        lookout=Lookout(postgres.waiting.rows, parts, metrics, groups),
        heads=Heads(rows, groups),
        metrics=metrics,
    )
