"""The ledger as those read it who want to know what happened: entry by entry, with who and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol

from domain.aggregate import Event


class Entry(NamedTuple):
    """One event as the ledger has it, also where this release cannot read what it says."""

    position: int
    stream: str
    """The id of its aggregate: `client-42`."""
    version: int
    topic: str
    event: Event | None
    """None where this release cannot read it."""
    unreadable: str | None
    """Why not, where it cannot."""
    recorded_at: datetime | None
    """None where that is no moment that there is: somebody changed it past the club."""
    actor: str
    command: str
    command_id: str
    correlation_id: str
    causation_id: str

    @property
    def kind(self) -> str:
        """The kind of its aggregate."""
        return self.topic.partition(".")[0]

    @property
    def event_id(self) -> str:
        """Its own id, as causation columns name it."""
        return f"{self.stream}/{self.version}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which entries of the log are wanted: those after a position, up to another one."""

    after: int
    until: int
    limit: int
    newest_first: bool = False
    type: str | None = None
    actor: str | None = None
    correlation_id: str | None = None


class Stretch(NamedTuple):
    """Some entries, and up to where the log was looked through for them."""

    entries: Sequence[Entry]
    reached: int | None
    """None where there is nothing more."""


class History(Protocol):
    """What happened, from the ledger alone."""

    async def head(self) -> int:
        """The last position; 0 in an empty ledger."""
        ...

    async def position_at(self, moment: datetime) -> int | None:
        """The last position that was recorded by that moment; None where it is still to come.

        Whoever asks about a moment that has passed is answered the same for ever: what is being
        recorded while one asks is waited for.
        """
        ...

    async def end_of_command(self, position: int) -> int:
        """The last position of the command that is recorded at one: it happened as a whole."""
        ...

    async def stream(self, stream: str, after: int, limit: int) -> Sequence[Entry]:
        """The next entries of one aggregate, after a version of it."""
        ...

    async def version_at(self, stream: str, position: int) -> int:
        """The version that an aggregate had at a position; 0 where it was not there yet."""
        ...

    async def log(self, wanted: Wanted) -> Stretch:
        """Some entries of the log, looking through so many positions at most, however few fit."""
        ...

    async def entry(self, event_id: str | int) -> Entry | None:
        """The entry of a position, or of an event's own id."""
        ...

    async def around(self, entry: Entry, most: int) -> Sequence[Entry]:
        """What the same command recorded, at `most` so many positions before and after it."""
        ...
