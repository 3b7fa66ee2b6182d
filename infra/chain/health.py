"""How a chain is doing: its workers, and which of its clubs are late or stand still."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import orjson
from prometheus_client import Gauge

from application.ports.ledger import LedgerUnavailable
from infra import parts as known
from infra.chain.standing import WORST_LAST, standing
from infra.health import Shown, named, shown_of, without_details
from infra.metrics import WORKING, Requests
from infra.once import Once
from infra.parts import API, STREAM, Parts
from projections.engine.model import Group
from projections.engine.reads import Rows


class Metrics(Requests):
    """The chain's measures."""

    def __init__(self) -> None:
        super().__init__()
        of_club = ["club", "group"]
        self.part_works = Gauge(
            "chain_part_works",
            "Whether this part of the chain works, in whatever process: 1 or 0",
            ["part"],
            registry=self.registry,
        )
        self.behind = Gauge(
            "chain_events_behind",
            "Events of this club that the chain has still to take in, where that is known",
            of_club,
            registry=self.registry,
        )
        self.oldest = Gauge(
            "chain_oldest_unhandled_seconds",
            "Age of the oldest of these",
            of_club,
            registry=self.registry,
        )
        self.unseen = Gauge(
            "chain_unseen_seconds",
            "Seconds since the ledger of this club was seen, or since it joined",
            ["club"],
            registry=self.registry,
        )
        self.stands = Gauge(
            "chain_stands_still",
            "Whether this club stands still in the chain: 1 or 0",
            of_club,
            registry=self.registry,
        )

    def tell(self, components: Shown, clubs: Sequence[Shown]) -> None:
        """What a look at the chain has found."""
        for gauge in (self.part_works, self.behind, self.oldest, self.unseen, self.stands):
            gauge.clear()
        for name, shown in components.items():
            self.part_works.labels(name).set(shown["status"] in WORKING)
        for club in clubs:
            labels = club["name"], club["group_name"]
            self.stands.labels(*labels).set(club["state"] == "standing")
            self.unseen.labels(club["name"]).set(club["unseen"])
            if club["lag"] is not None:
                self.behind.labels(*labels).set(club["lag"])
            if club["lag"] == 0 or club["age"] is not None:
                self.oldest.labels(*labels).set(club["age"] or 0)


@dataclass(frozen=True, slots=True)
class Health:
    """What was found; `able` is whether anything can be read."""

    able: bool
    report: Shown
    clubs: Sequence[Shown] = ()

    @property
    def public(self) -> Shown:
        """Without the reasons, and without the names of clubs."""
        return without_details(self.report)

    @property
    def full(self) -> Shown:
        """With which clubs are late or stand still, and why."""
        late = [_told(club) for club in self.clubs if club["state"] != "running"]
        return {**self.report, "late": late}


class Lookout:
    """Looks how the chain is doing, once for all who ask meanwhile."""

    def __init__(self, rows: Rows, parts: Parts, metrics: Metrics, groups: Sequence[Group]) -> None:
        self._rows = rows
        self._once = Once(self._look)
        self._parts = parts
        self._metrics = metrics
        every = " UNION ALL ".join(standing(group) for group in groups)
        self._sql = f"""
        SELECT json_build_object('parts', ({known.LOOK}), 'clubs', (
            SELECT coalesce(json_agg(every ORDER BY name, group_name), '[]')
            FROM ({every}) AS every))::text
        """  # noqa: S608 - made of constants

    async def health(self) -> Health:
        """How every part of the chain is doing."""
        return await self._once.look()

    async def _look(self) -> Health:
        try:
            ((text,),) = await self._rows(self._sql, ())
        except LedgerUnavailable as away:
            postgres = {"status": "unavailable", "detail": str(away)}
            report = {"status": "unavailable", "components": {"postgres": postgres}, "clubs": {}}
            self._metrics.tell({"postgres": postgres}, ())
            return Health(able=False, report=report)
        found = orjson.loads(text)
        parts, clubs = self._parts.all(found["parts"]), found["clubs"]
        components: Shown = {
            "postgres": {"status": "running"},
            "api": shown_of(named(parts, API), "serves the chain"),
            "workers": shown_of(named(parts, STREAM), "computes what is read here"),
        }
        self._metrics.tell(components, clubs)
        counted = {state: sum(club["state"] == state for club in clubs) for state in WORST_LAST}
        well = counted["running"] == len(clubs) and all(
            shown["status"] == "running" for shown in components.values()
        )
        report = {
            "status": "running" if well else "degraded",
            "components": components,
            "clubs": counted,
        }
        return Health(able=True, report=report, clubs=clubs)


def _told(club: Shown) -> Shown:
    """A club that is late or stands still, and why."""
    names = ("name", "group_name", "state", "position", "lag", "age", "stands_at", "topic")
    return {name: club[name] for name in names} | {"detail": club["reason"]}
