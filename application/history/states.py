"""What a thing was before some of its events; some states are kept, for pages to go on from."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from application.ports.history import Entry, History
from application.ports.ledger import UnreadableHistory
from application.slices import Slices
from domain.aggregate import Aggregate
from domain.refusals import Busy

CHUNK = 500
"""Events of one thing that are read and told together."""

KEPT = 32
"""How many states of things are kept, to go on from: they may be large."""

APART = 16
"""Of a long history that is gone through once, each so many chunks apart are kept."""


class EventOfNewerRelease(Busy):
    """What happened at position {position} ({topic}) is not for this release to read: {reason}."""


class State(NamedTuple):
    """What a thing was, after so many of its events; or what keeps this release from knowing."""

    aggregate: Aggregate | None = None
    unreadable: Entry | None = None

    def twin(self) -> State:
        """One to go on from, which leaves this one as it is."""
        return self if self.aggregate is None else State(self.aggregate.twin())

    def known(self) -> Aggregate | None:
        """The thing; raises EventOfNewerRelease where this release cannot know."""
        if self.unreadable is not None:
            newer = self.unreadable
            raise EventOfNewerRelease(
                position=newer.position, topic=newer.topic, reason=newer.unreadable
            )
        return self.aggregate


class States:
    """What things were before each chunk of their events."""

    def __init__(self, history: History, era: Callable[[], int]) -> None:
        """`era` is the ledger's: what was known of another may be in no ledger any more."""
        self._history = history
        self._era = era
        self._kept: OrderedDict[tuple[int, str, int], State] = OrderedDict()

    async def before(self, stream: str, chunk: int) -> State:
        """What the thing was before a chunk of its events."""
        known = chunk
        while known and (self._era(), stream, known) not in self._kept:
            known -= 1
        state = self._kept.get((self._era(), stream, known), State())
        if known:
            self.keep(stream, known, state)
        state, slices = state.twin(), Slices()
        for behind in range(known, chunk):
            for entry in await self._history.stream(stream, behind * CHUNK, CHUNK):
                state = after(state, entry)
                await slices.between()
            if behind + 1 == chunk or not (behind + 1) % APART:
                self.keep(stream, behind + 1, state.twin())
        return state

    def keep(self, stream: str, chunk: int, state: State) -> None:
        """Go on from this one, the next time."""
        key = (self._era(), stream, chunk)
        self._kept[key] = state
        self._kept.move_to_end(key)
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)


def after(state: State, entry: Entry) -> State:
    """What a thing is after an event; nobody guesses what one of a newer release made of it."""
    if state.unreadable is not None:
        return state
    if entry.event is None:
        return State(None, entry)
    try:
        return State(entry.event.mutate(state.aggregate))
    except Exception as fault:
        raise UnreadableHistory from fault
