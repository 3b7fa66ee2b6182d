"""What decisions ask of the read tables."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from application.ports.ledger import NothingSince
from application.ports.read_side import Seen
from infra.following.watch import Watch
from infra.ledger.conditions import UNREADABLE, fact_in
from infra.ledger.ledger import PostgresLedger
from infra.ledger.postgres import Postgres
from projections import clients, payments, users
from projections.references import HOLDING, REFERENCES, SHARED_MEMBERSHIPS, seen

LONGEST_WAIT = 2.0
"""Seconds that an answer waits for the read tables to show it."""


class PostgresReadSide:
    """Follows how far the tables are, and asks them who refers to what."""

    def __init__(self, postgres: Postgres, ledger: PostgresLedger, watch: Watch) -> None:
        self._postgres = postgres
        self._ledger = ledger
        self._watch = watch

    async def reached(self, position: int) -> bool:
        """Wait until the tables show `position`."""
        return await self._watch.reached(position, LONGEST_WAIT)

    async def referring(self, reference: str, number: int) -> Seen:
        """Who refers to the number, or did: the tables, and what the ledger has beyond them."""
        found = REFERENCES[reference]
        ((numbers, head, streams, states),) = await self._postgres.rows(
            seen(found), [list(found.topics), number]
        )
        since = [
            int(stream.rpartition("-")[2])
            for stream, state in zip(streams, states, strict=True)
            if fact_in(state, found.field) in {number, UNREADABLE}
        ]
        condition = NothingSince(head, found.topics, found.field, number)
        return Seen(tuple(sorted({*numbers, *since})), condition)

    async def shared_memberships(self) -> Seen:
        """The memberships that several clients hold, as of a position as new as it can be."""
        await self.reached(await self._ledger.head())
        ((position, numbers),) = await self._postgres.rows(SHARED_MEMBERSHIPS)
        return Seen(tuple(numbers), NothingSince(position, HOLDING))

    async def admins(self) -> Sequence[int]:
        """The users who are ADMIN, as of a position as new as it can be."""
        await self.reached(await self._ledger.head())
        return [row[0] for row in await self._postgres.rows(users.ADMINS)]

    async def overdue_payments(self, before: datetime, limit: int) -> Sequence[int]:
        """PENDING payments from before that moment."""
        return [row[0] for row in await self._postgres.rows(payments.OVERDUE, [before, limit])]

    async def lapsed_clients(self, at: datetime, limit: int) -> Sequence[int]:
        """ACTIVE clients whose time had ended."""
        return [row[0] for row in await self._postgres.rows(clients.LAPSED, [at, limit])]
