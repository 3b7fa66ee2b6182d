"""Aggregates, from the ledger or as they were last committed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from typing import Any

from application.ports.ledger import UnreadableHistory
from application.ports.services import Services
from application.slices import Slices
from domain.aggregate import Aggregate

READ_TOGETHER = 200
"""Streams that are asked for at once: others who ask have their turn between."""

MANY = 1000
"""More aggregates than this are not kept for one command's sake, nor taken as they are known."""


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
        return aggregate.twin()

    async def read(self, streams: list[str]) -> dict[str, Aggregate]:
        """The aggregates that are there, from the ledger."""
        found: dict[str, Aggregate] = {}
        slices = Slices()
        for together in range(0, len(streams), READ_TOGETHER):
            read = await self._services.ledger.streams(streams[together : together + READ_TOGETHER])
            for stream, events in read.items():
                if events:
                    found[stream] = replay(events)
                    await slices.between()
        return found

    def keep(self, aggregates: Collection[Aggregate], era: int) -> None:
        """Take aggregates as they are committed now, unless this version or a newer is known.

        `era` is the ledger's in which they were decided on. Of many at once only those that are
        known already: what went with an exercise must not drive out what is asked for all day.
        """
        self._forget_another_era()
        if era != self._era:
            return
        for aggregate in aggregates:
            known = self._known.get(aggregate.id)
            if known is None and len(aggregates) > MANY:
                continue
            if known is not None and known.version >= aggregate.version:
                continue
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
