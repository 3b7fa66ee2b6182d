"""The log of everything that happened, as the application needs it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from domain.aggregate import Event


class Recording(NamedTuple):
    """An event about to be recorded, with who did it and why."""

    event: Event
    command: str
    """The name of the command that led to it."""
    causation_id: str
    """The id of that command, or of the event that a policy answered with the command."""


REFUSAL = "refusal"
"""Where in an outcome a no is."""


@dataclass(frozen=True, slots=True)
class ReceiptKey:
    """What makes a command the same command again, over any channel."""

    source: str
    key: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a command that named a key."""

    key: ReceiptKey
    fingerprint: bytes
    outcome: Mapping[str, Any]

    @property
    def refused(self) -> bool:
        """Whether the club said no."""
        return REFUSAL in self.outcome


@dataclass(frozen=True, slots=True)
class NothingSince:
    """A decision that rests on the read tables as of `position`.

    It holds only while no event of these topics with `field == value` came after it; without a
    field, none of these topics.
    """

    position: int
    topics: tuple[str, ...]
    field: str | None = None
    value: int = 0


@dataclass(slots=True)
class Submission:
    """All that one command leaves in the ledger, in one transaction or not at all."""

    command_id: str
    actor: str
    correlation_id: str
    recordings: Sequence[Recording]
    expected: Mapping[str, int]
    """The version of every stream that the decision rests on; 0 for one that is not there."""
    conditions: Sequence[NothingSince] = ()
    receipt: Receipt | None = None
    era: int = 0
    """The ledger's, when the decision began."""


class StaleDecision(Exception):
    """What a command was decided on has changed; it must be decided anew."""


class AlreadyDone(Exception):
    """A command of this key is in the ledger."""


class LedgerUnavailable(Exception):
    """The database cannot be reached; nothing was recorded."""


class TookTooLong(LedgerUnavailable):
    """The database takes too long to answer this; ask for less of it, or later."""


class OutcomeUnknown(LedgerUnavailable):
    """The database went away in the middle of the commit: this may have happened, or not."""


class UnreadableHistory(Exception):
    """What happened to this was recorded by a newer release, which this one cannot read."""


class Overloaded(Exception):
    """More commands are waiting than can be answered in time."""


Append = Callable[[Submission], Awaitable[int]]
"""Records a submission; see `Ledger.append`."""


class Ledger(Protocol):
    """The log of everything that happened."""

    @property
    def era(self) -> int:
        """Another number, once what is known by heart may not be in the log any more.

        Another server may have taken over that lacks what was recorded last.
        """
        ...

    async def append(self, submission: Submission) -> int:
        """Record all of it, durably; returns the position of the last event.

        Raises StaleDecision (for a decision of another era, too), AlreadyDone, LedgerUnavailable
        or Overloaded; then nothing of it is recorded.
        """
        ...

    def alone(self) -> AbstractAsyncContextManager[Append]:
        """Let nobody else record anything until this is over, or something is recorded here.

        For a large decision that was overtaken again and again: what is read here still holds
        when it is recorded. Everybody else waits meanwhile. Raises LedgerUnavailable.
        """
        ...

    async def streams(self, ids: Sequence[str]) -> Mapping[str, Sequence[Event]]:
        """The events of each of these aggregates, in order; none for one that is not there.

        Raises UnreadableHistory where this release cannot read one of them.
        """
        ...

    async def ids(self, kind: str) -> Sequence[str]:
        """The ids of all aggregates of a kind that has few, in order."""
        ...

    async def receipt(self, key: ReceiptKey) -> Receipt | None:
        """What became of the command of this key."""
        ...

    async def next_id(self, kind: str) -> int:
        """A number that no aggregate of this kind has had, from a Postgres sequence."""
        ...
