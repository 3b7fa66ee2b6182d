"""Who is in the chain, as a worker knows it, and which of its groups are this worker's to fill."""

from __future__ import annotations

from dataclasses import dataclass, field

import psycopg
import structlog

from infra.chain.store import ChainStore, InChain
from infra.ledger.postgres import Connection

logger = structlog.get_logger(__name__)

_CLUBS = "SELECT number, name, ledger, url, secret FROM chain_clubs ORDER BY number"
_DEFINITION = "SELECT definition FROM chain_groups WHERE (name, generation) = (%s, %s)"
# Whoever is new, or meets a new generation, begins at the beginning. Who has begun is read as one
# set, once: asked for each club, a hundred thousand that begin together would take minutes.
_BEGIN = """
INSERT INTO chain_positions (group_name, generation, club)
SELECT g.name, g.generation, c.number FROM chain_groups AS g CROSS JOIN chain_clubs AS c
WHERE (g.name, g.generation) = (%s, %s)
EXCEPT SELECT group_name, generation, club FROM chain_positions
ON CONFLICT DO NOTHING
"""


@dataclass(frozen=True, slots=True)
class Club:
    """A club of the chain."""

    number: int
    name: str
    ledger: str
    url: str = field(repr=False)
    secret: bytes = field(repr=False)


class Directory:
    """The clubs of the chain, looked up every now and then."""

    def __init__(self, store: ChainStore) -> None:
        self._store = store
        self._by_ledger: dict[str, Club] = {}
        self._by_number: dict[int, Club] = {}
        self.groups: tuple[InChain, ...] = ()
        """Those whose tables are of this release's definition."""
        self.aside: dict[str, str] = {}
        """Why not, of each other group."""

    def of(self, ledger: str) -> Club | None:
        """The club whose ledger it is."""
        return self._by_ledger.get(ledger)

    def numbered(self, number: int) -> Club | None:
        """The club of this number."""
        return self._by_number.get(number)

    async def look(self, connection: Connection) -> None:
        """Look who is in the chain; a club that is new has its positions from here on."""
        ours = []
        for group in self._store.groups:
            cursor = await connection.execute(_DEFINITION, [group.name, group.generation])
            if self._is_ours(group, await cursor.fetchone()):
                ours.append(group)
        cursor = await connection.execute(_CLUBS)
        clubs = [Club(*row) for row in await cursor.fetchall()]
        for group in ours:
            try:
                await connection.execute(_BEGIN, [group.name, group.generation])
            except psycopg.errors.ForeignKeyViolation:
                logger.info("chain.club-leaves")  # at this moment: the next look knows
        self.groups = tuple(ours)
        self._by_ledger = {club.ledger: club for club in clubs}
        self._by_number = {club.number: club for club in clubs}

    def _is_ours(self, group: InChain, found: tuple[str] | None) -> bool:
        if found == (group.tables.definition,):
            self.aside.pop(group.name, None)
            return True
        why = (
            f"there are no tables of generation {group.generation} of the group {group.name}"
            if found is None
            else f"the tables of the group {group.name} were made by another release that calls "
            f"itself generation {group.generation}, too"
        )
        if self.aside.get(group.name) != why:
            logger.warning("chain.stands-aside", group=group.name, reason=why)
        self.aside[group.name] = why
        return False
