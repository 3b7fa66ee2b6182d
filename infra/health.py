"""How the parts of a running club are doing.

What it says is for two kinds of people: anybody may know which part does not work, and since when;
the details, which may name machines, are for whoever runs the club.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import structlog

from application.ports.ledger import LedgerUnavailable
from application.ports.signing_in import StoreUnavailable
from domain.aggregate import time_text
from infra import parts as known
from infra.following.relaying import RELAY
from infra.following.watch import Watch
from infra.ledger.postgres import Postgres
from infra.ledger.schema import HEAD
from infra.metrics import Metrics
from infra.once import Once
from infra.parts import Part, Parts
from infra.rabbitmq import UNREACHABLE, RabbitMQ
from infra.short_lived import InProcessStore, Store
from projections.catalogue import DOCUMENTED, FIGURES, GROUPS

LATE = 30.0
"""Seconds for which an event may wait to be handled before that is called behind."""

LATE_FIGURES = 600.0
"""The same, of the figures, which are refreshed every now and then."""

MOST_WAITING = 10_000
"""Messages that may wait for the consumers before that is called behind."""

LONGEST_LOOK = 3.0
"""Seconds to wait for the database, which may be frozen."""

logger = structlog.get_logger(__name__)

_AGE = """
(SELECT extract(epoch FROM clock_timestamp() - recorded_at) FROM ledger_events
 WHERE notification_id > position ORDER BY notification_id LIMIT 1)
"""
# All of it in one statement: the head, whether this server takes writes, how far each group of
# read tables, the relay and the publisher are and how old what they have not handled is, and
# every part.
_LOOK = f"""
SELECT json_build_object(
    'head', ({HEAD}),
    'writable', NOT pg_is_in_recovery() AND current_setting('transaction_read_only') = 'off',
    'groups', (SELECT json_object_agg(name, json_build_array(position, {_AGE})) FROM read_groups),
    'relay', (SELECT json_build_array(position, {_AGE}) FROM relay_positions WHERE name = %s),
    'publisher', (SELECT json_build_array(position, {_AGE}) FROM ledger_publishing),
    'parts', ({known.LOOK})
)::text
"""  # noqa: S608 - made of constants

Shown = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Health:
    """The state of each part; `able` is whether the ledger can be written."""

    able: bool
    report: Shown

    @property
    def public(self) -> Shown:
        """The report without the details."""
        return without_details(self.report)


class Lookout:
    """Looks how the club is doing, once for all who ask meanwhile.

    Whoever asks is never told what was found before they asked.
    """

    def __init__(
        self,
        postgres: Postgres,
        parts: Parts,
        watch: Watch,
        metrics: Metrics,
        store: Store,
        *,
        asked_for: Collection[str] = (),
        rabbitmq: RabbitMQ | None = None,
    ) -> None:
        """`asked_for` are parts that only these settings ask for."""
        self._postgres = postgres
        self._parts = parts
        self._watch = watch
        self._metrics = metrics
        self._store = store
        self._asked_for = asked_for
        self._rabbitmq = rabbitmq
        self._once = Once(self._look_and_log)
        self._asking: asyncio.Task[Shown | str] | None = None
        self._said: Mapping[str, str] = {}

    async def health(self) -> Health:
        """How every part of the club is doing."""
        return await self._once.look()

    async def _look_and_log(self) -> Health:
        health = await self._look()
        self._log(health.report["components"])
        return health

    async def _look(self) -> Health:
        found, redis, queues = await asyncio.gather(
            self._found(), _redis(self._store), self._queues()
        )
        if isinstance(found, str):
            return Health(able=False, report=self._without_database(found, redis | queues))
        parts = self._parts.all(found["parts"])
        groups = {group.name: found["groups"].get(group.name) or [0, None] for group in GROUPS}
        head = found["head"]
        self._watch.advance(groups[DOCUMENTED.name][0])
        projectors = {
            name: _following(
                named(parts, name),
                head,
                *group,
                doing="projects these tables",
                late=LATE_FIGURES if name == FIGURES.name else LATE,
            )
            for name, group in groups.items()
        }
        components = {
            "postgres": {"status": "running" if found["writable"] else "read-only"},
            "projector": _worst(projectors.values()),
            **redis,
            **queues,
            **dict(self._components(parts, head, found["relay"] or [0, None])),
            **dict(self._publisher(parts, head, found["publisher"] or [0, None])),
        }
        self._metrics.tell(head, components, projectors)
        well = {shown["status"] for shown in components.values()} == {"running"}
        status = "running" if well else "degraded"
        return Health(
            able=found["writable"],
            report={
                "status": status if found["writable"] else "unavailable",
                "ledger": {"writable": found["writable"], "head": head},
                "projectors": projectors,
                "components": components,
            },
        )

    def _without_database(self, why: str, others: Shown) -> Shown:
        here = self._parts.here()
        unknown = {"status": "unavailable", "position": None, "lag": None, "age": None}
        return {
            "status": "unavailable",
            "ledger": {"writable": False, "head": None},
            "projectors": {group.name: dict(unknown) for group in GROUPS},
            "components": {
                "postgres": {"status": "unavailable", "detail": why},
                **others,
                **{part.name: shown_of([part], "runs here") for part in here},
            },
        }

    async def _found(self) -> Shown | str:
        """What the database says, or why it does not: one that is frozen is not asked again."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
        done, _ = await asyncio.wait({self._asking}, timeout=LONGEST_LOOK)
        return self._asking.result() if done else f"no answer in {LONGEST_LOOK:.0f} seconds"

    async def _ask(self) -> Shown | str:
        try:
            ((text,),) = await self._postgres.watching.rows(_LOOK, [RELAY])
        except LedgerUnavailable as lost:
            return str(lost)
        found: Shown = orjson.loads(text)
        return found

    async def _queues(self) -> Shown:
        """Whether RabbitMQ is there, what a person should look at, and whether it is consumed."""
        if self._rabbitmq is None:
            return {}
        try:
            queues = await self._rabbitmq.queues()
        except UNREACHABLE as lost:
            gone = {"status": "unavailable", "detail": str(lost) or type(lost).__name__}
            return {"rabbitmq": gone}
        consumers: Shown = {"status": "running", "lag": queues.waiting}
        if queues.unserved:
            detail = f"nobody consumes {' and '.join(queues.unserved)}"
            consumers |= {"status": "unavailable", "detail": detail}
        elif queues.waiting > MOST_WAITING:
            consumers["status"] = "behind"
        broker: Shown = {"status": "running", "parked": queues.parked}
        if queues.blocked:
            detail = "it takes no messages: it is short of memory or disk"
            broker |= {"status": "standing", "detail": detail}
        return {"rabbitmq": broker, "consumers": consumers}

    def _components(
        self, parts: Sequence[Part], head: int, relay: Sequence[Any]
    ) -> Iterator[tuple[str, Shown]]:
        """The parts that this club has, or has had until lately.

        A process that serves the club misses those that are nowhere, too.
        """
        wanted = {known.API: "serves requests"}
        if self._rabbitmq is not None:
            publishing = named(parts, known.RELAY)
            yield known.RELAY, _following(publishing, head, *relay, doing="publishes events")
            for name in (known.COMMANDS, known.PAYMENTS):
                wanted[name] = f"takes {name} from RabbitMQ"
        if named(parts, known.SEALS):
            wanted[known.SEALS] = "seals the ledger"
        of_celery = (known.BEAT, known.WORKER, known.REPORT_WORKER)
        celery = {*of_celery} & {part.name for part in parts}
        if celery:
            wanted |= {name: f"runs as Celery's {name}" for name in of_celery}
        if not celery or named(parts, known.TIMERS):
            wanted[known.TIMERS] = "does what time does"
        for name, doing in wanted.items():
            processes = named(parts, name)
            if processes or self._parts.told:
                yield name, shown_of(processes, doing)
        for name in self._asked_for:
            shown_as, doing = _ASKED_FOR[name]
            yield shown_as, shown_of(named(parts, name), doing)

    def _publisher(
        self, parts: Sequence[Part], head: int, far: Sequence[Any]
    ) -> Iterator[tuple[str, Shown]]:
        """Who publishes to Kafka, of a club that is in a chain, or was until lately."""
        if processes := named(parts, known.PUBLISHER):
            doing = "publishes events to Kafka"
            yield known.PUBLISHER, _following(processes, head, *far, doing=doing)

    def _log(self, components: Mapping[str, Shown]) -> None:
        """Only what is new."""
        said = {name: shown["status"] for name, shown in components.items()}
        for name, shown in components.items():
            if self._said.get(name, "running") != shown["status"]:
                logger.warning("health.changed", part=name, **shown)
        self._said = said


_ASKED_FOR = {
    known.SEALS_OUT: (known.SEALS_OUT, "publishes the heads of the ledger"),
    known.BOT: ("telegram", "runs the bot"),
}
"""Parts that only some clubs have: what they are called, and what they do."""


def named(parts: Sequence[Part], name: str) -> list[Part]:
    """The processes of a part."""
    return [part for part in parts if part.name == name]


_URGENCY = ("standing", "silent", "aside", "running")
"""What is told first of several processes of a part."""


def shown_of(processes: Sequence[Part], doing: str) -> Shown:
    """How a part is doing: well, where one process works and none is missed."""
    if not processes:
        return {"status": "unavailable", "detail": f"no process {doing}"}
    told = min(processes, key=lambda part: _URGENCY.index(part.status))
    working = [part for part in processes if part.status == "running"]
    if told.status == "aside":
        # As it should be where another works; else nobody does.
        status = "running" if working else "standing"
    elif told.status == "running" or not working:
        status = told.status
    else:
        status = "degraded"
    shown: Shown = {"status": status, "since": time_text(told.since)}
    if status == "degraded":
        shown["working"] = len(working)
    return shown | ({"detail": told.detail} if told.detail else {})


def _following(
    processes: Sequence[Part],
    head: int,
    position: int,
    age: float | None,
    *,
    doing: str,
    late: float = LATE,
) -> Shown:
    """How those are doing who follow the ledger, and how far they are behind it."""
    shown = shown_of(processes, doing)
    if shown["status"] == "running" and age is not None and age > late:
        shown["status"] = "behind"
    return {
        **shown,
        "position": position,
        "lag": max(0, head - position),
        "age": round(age or 0.0, 3),
    }


def _worst(projectors: Collection[Shown]) -> Shown:
    """All projectors in one line: the first that does not run, or all that run."""
    told = min(projectors, key=lambda one: one["status"] == "running")
    return {name: told[name] for name in ("status", "since", "detail", "age") if name in told}


async def _redis(store: Store) -> Shown:
    """Where it is gone, nobody signs in until it is back, and everything else goes on."""
    try:
        await store.ping()
    except StoreUnavailable as lost:
        return {"redis": {"status": "unavailable", "detail": str(lost)}}
    if isinstance(store, InProcessStore):
        return {"redis": {"status": "running", "detail": "in this process"}}
    return {"redis": {"status": "running"}}


def without_details(shown: Shown) -> Shown:
    """Why something does not run is not for everybody."""
    return {
        name: without_details(value) if isinstance(value, dict) else value
        for name, value in shown.items()
        if name != "detail" or shown["status"] == "running"
    }
