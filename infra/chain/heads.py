"""How far the ledgers of a chain's clubs are, looked at where they are, for whoever is told of it.

Whoever serves the chain looks, every now and then; what another has seen a moment ago is not looked
at again. A ledger that does not answer holds up nobody, and is known as it was last seen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

import structlog

from application.ports.ledger import LedgerUnavailable
from infra.chain.ledgers import LedgerFault, reading
from projections.engine.model import Group
from projections.engine.reads import Rows

EVERY = 10.0
"""Seconds between two looks at a ledger."""

AT_ONCE = 8
"""How many are asked at a time."""

logger = structlog.get_logger(__name__)

# Each club, and how far it is in those of these tables that are furthest behind; what stands still
# does so whatever waits, and hides nothing of the others.
_DUE = """
SELECT number, url, ledger, coalesce((
    SELECT coalesce(min(p.position) FILTER (WHERE p.reason IS NULL), min(p.position))
    FROM chain_positions AS p
    JOIN unnest(%s::text[], %s::integer[]) AS mine (name, generation)
        ON (mine.name, mine.generation) = (p.group_name, p.generation)
    WHERE p.club = number), 0)
FROM chain_clubs
WHERE coalesce(seen_at, '-infinity') < clock_timestamp() - make_interval(secs => %s)
ORDER BY number
"""
_SEEN = """
UPDATE chain_clubs SET seen_at = clock_timestamp(), head = %s, published = %s, waiting_since = %s,
    waiting_after = %s
WHERE number = %s
"""


class Due(NamedTuple):
    """A ledger to look at."""

    club: int
    url: str
    ledger: str
    position: int


class Heads:
    """Looks at the ledgers of a chain's clubs, and writes down how far they are."""

    def __init__(self, rows: Rows, groups: Sequence[Group]) -> None:
        """`rows` runs one query in the chain's database; `groups` is what the chain computes."""
        self._rows = rows
        self._tables = [group.name for group in groups], [group.generation for group in groups]
        self._few = asyncio.Semaphore(AT_ONCE)

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            try:
                await self.look(EVERY)
            except LedgerUnavailable as away:
                logger.info("chain.away", reason=str(away))
            await asyncio.sleep(EVERY / 2)

    async def look(self, seconds: float = 0) -> None:
        """Look at each ledger that nobody has seen for so long."""
        due = [Due(*row) for row in await self._rows(_DUE, [*self._tables, seconds])]
        await asyncio.gather(*(self._look_at(one) for one in due))

    async def _look_at(self, due: Due) -> None:
        async with self._few:
            try:
                async with reading(due.url) as ledger:
                    seen = await ledger.look(due.ledger, due.position)
            except LedgerFault as fault:
                logger.info("chain.unseen", club=due.club, reason=str(fault))
                return
        await self._rows(_SEEN, [*seen, due.club])
