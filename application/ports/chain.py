"""What is read of a chain of clubs, and by whom, as channels ask for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from application.ports.figures import FiguresOfClub
from application.ports.ledger import LedgerUnavailable
from application.ports.queries import Page, PageRequest
from domain.refusals import Busy, Conflict, Invalid, NotFound
from domain.values import Role


class ChainUnavailable(LedgerUnavailable):
    """The chain's database cannot be reached just now; please try again."""


class UnknownClub(Invalid):
    """There is no club {name!r} in this chain."""

    FIELD = "club"


class NoFigures(NotFound):
    """This chain computes no figures, and so there are no reports: CLUB_CHAIN_GROUPS says which."""


class NoClubs(Busy):
    """No club has joined this chain yet: `club chain clubs add` has one join."""


class NothingComputed(Busy):
    """Nothing is computed for this chain yet: no worker (`club stream`) has run."""


class OtherGeneration(Busy):
    """Figures are there of generation {found}, and this release reads {wanted}: {what_then}."""


class BeingBuilt(Busy):
    """Figures are being built: {done} of {clubs} clubs done, {events} of {all_events} events."""


class HeldUp(Busy):
    """There are no figures yet of {names}, which cannot go on: ask for other clubs (`?club=`)."""


class NameTaken(Conflict):
    """There is somebody called {name} who reads this chain: `set-role` gives them another role."""


class Reader(NamedTuple):
    """Who reads what there is of a chain."""

    number: int
    name: str
    role: Role


class Link(NamedTuple):
    """A link that opens the overview for one reader."""

    number: int
    token: str
    expires_at: str


class FiguresOfChain(Protocol):
    """The figures of clubs of a chain, added up."""

    def of(self, clubs: Sequence[str]) -> FiguresOfClub:
        """Those of the clubs of these names; of all without any."""
        ...


class Rows(Protocol):
    """Rows in pages."""

    async def page(self, wanted: PageRequest) -> Page:
        """A page; raises UnreadableCursor."""
        ...

    async def total(self, wanted: PageRequest) -> int:
        """How many rows all pages have."""
        ...


class PageLinks(Protocol):
    """Links to the overview."""

    async def make(self, reader: int) -> Link:
        """A link for this reader; its token is told once."""
        ...

    async def revoke(self, number: int, reader: int | None) -> None:
        """Let a link open nothing any more, of this reader or (None) of anybody.

        Raises NotFound.
        """
        ...

    async def page(self, wanted: PageRequest) -> Page:
        """Those that are good."""
        ...

    async def total(self, wanted: PageRequest) -> int:
        """How many are good."""
        ...
