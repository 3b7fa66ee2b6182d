"""What decisions ask of the read tables."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import cast

from application.ports.ledger import NothingSince
from application.ports.read_side import Seen
from application.slices import Slices
from domain.aggregate import time_text
from infra.following.watch import Watch
from infra.ledger.conditions import UNREADABLE, fact_in
from infra.ledger.postgres import Postgres
from infra.ledger.schema import HEAD
from projections import clients, payments, users
from projections.references import (
    HOLDING,
    REFERENCES,
    SHARED_MEMBERSHIPS,
    Reference,
    seen,
)

LONGEST_WAIT = 2.0
"""Seconds that an answer waits for the read tables to show it."""

SURELY_OVER = timedelta(days=1)
"""Past its end by this much, something is over by every machine's clock."""


class PostgresReadSide:
    """Follows how far the tables are, and asks them who refers to what."""

    def __init__(self, postgres: Postgres, watch: Watch) -> None:
        self._postgres = postgres
        self._watch = watch

    async def reached(self, position: int) -> bool:
        """Wait until the tables show `position`."""
        return await self._watch.reached(position, LONGEST_WAIT)

    async def referring(self, reference: str, numbers: Sequence[int]) -> Mapping[int, Seen]:
        """Who refers to the numbers, or did: the tables, and what the ledger has beyond them."""
        found = REFERENCES[reference]
        over = time_text(datetime.now(UTC) - SURELY_OVER)
        ((shown, ids, head, streams, states),) = await self._postgres.rows(
            seen(found), [list(found.topics), list(numbers), *([over] if found.ends else [])]
        )
        referring: dict[int, set[int]] = {number: set() for number in numbers}
        for number, referrer in zip(shown, ids, strict=True):
            referring[number].add(referrer)
        slices = Slices()
        for stream, state in zip(streams, states, strict=True):
            for number in _added(state, found, over, referring):
                referring[number].add(int(stream.rpartition("-")[2]))
            await slices.between()
        return {
            number: Seen(
                tuple(sorted(those)), NothingSince(head, found.topics, found.field, number)
            )
            for number, those in referring.items()
        }

    async def shared_memberships(self) -> Seen:
        """Those with several holders in the tables, and those that were given one since."""
        ((numbers, head, states),) = await self._postgres.rows(SHARED_MEMBERSHIPS, [list(HOLDING)])
        since = {fact_in(state, "membership_id") for state in states}
        numbers += [number for number in since if isinstance(number, int)]
        return Seen(tuple(sorted(set(numbers))), NothingSince(head, HOLDING))

    async def admins(self) -> Sequence[int]:
        """The users who are ADMIN, as of a position as new as it can be."""
        ((head,),) = await self._postgres.rows(HEAD)
        await self.reached(head)
        return [row[0] for row in await self._postgres.rows(users.ADMINS)]

    async def overdue_payments(self, before: datetime, limit: int) -> Sequence[int]:
        """PENDING payments from before that moment."""
        return [row[0] for row in await self._postgres.rows(payments.OVERDUE, [before, limit])]

    async def lapsed_clients(self, at: datetime, limit: int) -> Sequence[int]:
        """ACTIVE clients whose time had ended."""
        return [row[0] for row in await self._postgres.rows(clients.LAPSED, [at, limit])]


def _added(state: bytes, to: Reference, over: str, numbers: Collection[int]) -> Collection[int]:
    """To which of the numbers this event adds somebody; to any, where it cannot be read."""
    number = fact_in(state, to.field)
    if number is UNREADABLE:
        return numbers
    if number not in numbers or (to.ends and str(fact_in(state, to.ends)) <= over):
        return ()
    return (cast("int", number),)
