"""Aggregates, from the ledger or as they were last committed."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, TypeVar

from application.ports.ledger import UnreadableHistory
from application.ports.services import Services
from domain.aggregate import Aggregate

A = TypeVar("A", bound=Aggregate)


class Repository:
    """Aggregates as they were last committed, so that a stream need not be read each time.

    A stale one is harmless: the ledger's version check refuses what was decided on it, and no
    refusal is given on it (see `Bus`). With another era of the ledger all are forgotten: what was
    committed last may be in no ledger any more.
    """

    def __init__(self, services: Services, size: int = 20_000) -> None:
        self._services = services
        self._size = size
        self._known: OrderedDict[str, Aggregate] = OrderedDict()
        self._era = 0

    def known(self, stream: str) -> Aggregate | None:
        """A copy to work on, where the aggregate is kept."""
        self._forget_another_era()
        aggregate = self._known.get(stream)
        if aggregate is None:
            return None
        self._known.move_to_end(stream)
        return working_copy(aggregate)

    async def read(self, streams: list[str]) -> dict[str, Aggregate]:
        """The aggregates that are there, from the ledger."""
        found = await self._services.ledger.streams(streams)
        return {stream: replay(events) for stream, events in found.items() if events}

    def keep(self, aggregate: Aggregate, era: int) -> None:
        """Take an aggregate as it is committed now, unless this version or a newer is known.

        `era` is the ledger's in which it was decided on.
        """
        self._forget_another_era()
        if era != self._era:
            return
        known = self._known.get(aggregate.id)
        if known is not None and known.version >= aggregate.version:
            return
        self._known[aggregate.id] = aggregate
        self._known.move_to_end(aggregate.id)
        if len(self._known) > self._size:
            self._known.popitem(last=False)

    def _forget_another_era(self) -> None:
        if self._era != self._services.ledger.era:
            self._era = self._services.ledger.era
            self._known.clear()

    def forget(self, streams: list[str]) -> None:
        """Read these from the ledger the next time."""
        for stream in streams:
            self._known.pop(stream, None)


def working_copy(aggregate: A) -> A:
    """A copy to decide on, while the original stays as it was committed."""
    kind = type(aggregate)
    twin = kind.__new__(kind)
    twin.__dict__.update(aggregate.__dict__)
    # The pending list is the one thing that is changed in place.
    twin._pending_events = []
    return twin


def replay(events: Any) -> Aggregate:
    """The aggregate that these events make; raises UnreadableHistory where they make none."""
    aggregate: Aggregate | None = None
    try:
        for event in events:
            aggregate = event.mutate(aggregate)
    except Exception as fault:
        raise UnreadableHistory from fault
    if aggregate is None:
        raise ValueError("an aggregate has at least one event")
    return aggregate
