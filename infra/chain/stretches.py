"""Some events of one ledger without a hole between them, wherever they come from."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple, Self

from infra.chain.records import Record, Stored, digest
from infra.ledger.feed import Row

BATCH = 2000
"""Events in one transaction, at most."""


class Fit(Enum):
    """How some events go with what was taken in."""

    NEXT = "they are what comes next, or have it among them"
    REPEATED = "they were taken in before"
    AHEAD = "something is missing before them"
    ELSEWHERE = "they are of a ledger that went another way"


class Stretch(NamedTuple):
    """Events in order, and what comes before them."""

    prev: int
    """The position after which they come."""
    before: bytes
    """The digest of the event there."""
    events: Sequence[Stored]

    @classmethod
    def of(cls, record: Record) -> Self:
        """The events of a record; raises KeptOut."""
        return cls(record.prev, record.before, record.stored())

    @property
    def last(self) -> int:
        """Where it ends."""
        return self.prev + len(self.events)

    def digest_at(self, position: int) -> bytes:
        """The digest of the event there, or of the one before them."""
        index = position - self.prev
        return self.before if index == 0 else digest(self.events[index - 1][0])

    def fits(self, position: int, known: bytes) -> Fit:
        """How they go with what was taken in up to a position; `known` is the digest there."""
        if self.prev > position:
            return Fit.AHEAD
        if self.last < position:
            return Fit.REPEATED
        if self.digest_at(position) != known:
            return Fit.ELSEWHERE
        return Fit.REPEATED if self.last == position else Fit.NEXT

    def rows_after(self, position: int, limit: int) -> Sequence[Row]:
        """The columns of the next events after a position."""
        begin = position - self.prev
        return [row for _, row in self.events[begin : begin + limit]]

    def joined_by(self, other: Stretch) -> Stretch | None:
        """Both as one, where the other follows and it is not too much for one transaction."""
        if (
            other.prev != self.last
            or len(self.events) + len(other.events) > BATCH
            or other.before != self.digest_at(self.last)
        ):
            return None
        return Stretch(self.prev, self.before, [*self.events, *other.events])
