"""What the read tables tell a decision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from application.ports.ledger import NothingSince


@dataclass(frozen=True, slots=True)
class Seen:
    """Numbers found in the read tables, and the condition under which they are all there are."""

    numbers: tuple[int, ...]
    condition: NothingSince


class ReadSide(Protocol):
    """What the read tables tell a decision: never a fact of an aggregate, who refers to it."""

    async def reached(self, position: int) -> bool:
        """Wait until the read tables show `position`; False after a short limit."""
        ...

    async def referring(self, reference: str, numbers: Sequence[int]) -> Mapping[int, Seen]:
        """Who may refer to each of these, `reference` being one of `projections.references`.

        All who do are among them; who did, or is about to be read anew, may be, too. Nobody waits
        for the tables: what they do not show yet is asked of the ledger.
        """
        ...

    async def shared_memberships(self) -> Seen:
        """The memberships that several clients may hold, in the same way."""
        ...

    async def admins(self) -> Sequence[int]:
        """The users who are ADMIN, as far as the tables know: each is to be looked at."""
        ...

    async def overdue_payments(self, before: datetime, limit: int) -> Sequence[int]:
        """PENDING payments whose status is from before that moment, oldest first."""
        ...

    async def lapsed_clients(self, at: datetime, limit: int) -> Sequence[int]:
        """ACTIVE clients whose time had ended by that moment."""
        ...
