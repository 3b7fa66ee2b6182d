"""How the parts of a running club are doing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from application.ports.ledger import LedgerUnavailable
from application.ports.signing_in import StoreUnavailable
from domain.aggregate import time_text
from infra.following.relaying import RELAY, lag
from infra.following.watch import Watch
from infra.ledger.postgres import Postgres
from infra.ledger.schema import HEAD
from infra.metrics import Metrics
from infra.parts import Part, Parts
from infra.rabbitmq import UNREACHABLE, RabbitMQ
from infra.secrets.codes import reported
from infra.short_lived import InProcessStore, Store
from projections.catalogue import DOCUMENTED, GROUPS

MOST_LAG = 10_000
"""Events, or messages, behind which a part counts as behind, not as current."""

# The head, whether this server takes writes, how far each group of read tables is, and the relay.
_LOOK = f"""
SELECT ({HEAD}),
       NOT pg_is_in_recovery() AND current_setting('transaction_read_only') = 'off',
       ARRAY(SELECT name FROM read_groups WHERE name = ANY(%s) ORDER BY name),
       ARRAY(SELECT position FROM read_groups WHERE name = ANY(%s) ORDER BY name)
"""  # noqa: S608 - made of constants
_GROUPS = [group.name for group in GROUPS]


@dataclass(frozen=True, slots=True)
class Health:
    """The state of each part; `able` is whether the ledger can be written."""

    able: bool
    report: dict[str, Any]


async def examine(
    postgres: Postgres,
    parts: Parts,
    watch: Watch,
    metrics: Metrics,
    store: Store,
    *,
    bot: bool = False,
    rabbitmq: RabbitMQ | None = None,
) -> Health:
    """Ask the database, the parts of every process, and all that the club has beside them.

    `bot` is whether the club has one, which reports in the store.
    """
    others: dict[str, dict[str, Any]] = {"redis": await _redis(store)}
    if bot:
        others["telegram"] = await reported(store)
    if rabbitmq is not None:
        others |= await _rabbitmq(rabbitmq)
    try:
        ((head, writable, names, found),) = await postgres.rows(_LOOK, [_GROUPS, _GROUPS])
        running = await parts.look()
    except LedgerUnavailable as lost:
        return Health(
            able=False,
            report={
                "status": "unavailable",
                "ledger": {"writable": False, "head": None},
                "projectors": {name: _group(None, None) for name in _GROUPS},
                "components": {
                    "postgres": {"status": "unavailable", "detail": str(lost)},
                    **others,
                },
            },
        )
    positions = dict(zip(names, found, strict=True))
    watch.advance(positions.get(DOCUMENTED.name, 0))
    projectors = {
        name: _projector(positions.get(name, 0), head, [p for p in running if p.name == name])
        for name in _GROUPS
    }
    metrics.ledger_head.set(head)
    metrics.projection_lag.set(projectors[DOCUMENTED.name]["lag"])
    if rabbitmq is not None:
        others["relay"] = await _relay(postgres, [p for p in running if p.name == "relay"])
    worst = _worst(projectors)
    well = writable and {worst["status"], *(o["status"] for o in others.values())} == {"running"}
    status = "running" if well else "degraded"
    return Health(
        able=writable,
        report={
            "status": status if writable else "unavailable",
            "ledger": {"writable": writable, "head": head},
            "projectors": projectors,
            "components": {
                "postgres": {"status": "running" if writable else "read-only"},
                "projector": worst,
                **others,
            },
        },
    )


def _projector(position: int, head: int, processes: Sequence[Part]) -> dict[str, Any]:
    """How the projectors of a group are doing: it is well where one of them works."""
    lag = max(0, head - position)
    working = [part for part in processes if part.status == "running"]
    behind = lag > MOST_LAG or not working
    shown = _group(position, lag) | {"status": "behind" if behind else "running"}
    idle = [part for part in processes if part.status != "running"]
    if idle and (behind or not all(part.status == "silent" for part in idle)):
        told = min(idle, key=lambda part: _URGENCY.index(part.status))
        shown |= {"detail": told.detail, "since": time_text(told.since)}
    elif not processes:
        shown |= {"detail": "no process projects these tables"}
    return shown


_URGENCY = ("standing", "silent", "aside")
"""What is told first of several parts that do not work."""


def _group(position: int | None, lag: int | None) -> dict[str, Any]:
    return {"status": "unavailable", "position": position, "lag": lag}


def _worst(projectors: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """All projectors in one line: the first that does not run, or all that run."""
    ill = next((p for p in projectors.values() if p["status"] != "running"), None)
    told = ill or next((p for p in projectors.values() if "detail" in p), {"status": "running"})
    return {name: told[name] for name in ("status", "detail", "since") if name in told}


async def _redis(store: Store) -> dict[str, str]:
    """Where it is gone, nobody signs in until it is back, and everything else goes on."""
    try:
        await store.ping()
    except StoreUnavailable as lost:
        return {"status": "unavailable", "detail": str(lost)}
    if isinstance(store, InProcessStore):
        return {"status": "running", "detail": "in this process"}
    return {"status": "running"}


async def _rabbitmq(rabbitmq: RabbitMQ) -> dict[str, dict[str, Any]]:
    """Whether it is there, what a person should look at, and whether messages are taken."""
    try:
        queues = await rabbitmq.queues()
    except UNREACHABLE as lost:
        gone = {"status": "unavailable", "detail": str(lost) or type(lost).__name__}
        return {"rabbitmq": gone}
    consumers: dict[str, Any] = {"status": "running", "lag": queues.waiting}
    if queues.unserved:
        detail = f"nobody consumes {' and '.join(queues.unserved)}"
        consumers |= {"status": "unavailable", "detail": detail}
    elif queues.waiting > MOST_LAG:
        consumers["status"] = "behind"
    return {"rabbitmq": {"status": "running", "parked": queues.parked}, "consumers": consumers}


async def _relay(postgres: Postgres, processes: Sequence[Part]) -> dict[str, Any]:
    """How many events are still to go out, and why, where it stands still."""
    behind = await lag(postgres, RELAY)
    status = "running" if behind is not None and behind <= MOST_LAG else "behind"
    standing = next((part for part in processes if part.status == "standing"), None)
    shown: dict[str, Any] = {"status": status, "lag": behind}
    if standing is not None and not any(part.status == "running" for part in processes):
        shown |= {
            "status": "behind",
            "detail": standing.detail,
            "since": time_text(standing.since),
        }
    return shown
