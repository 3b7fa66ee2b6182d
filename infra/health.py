"""How the parts of a running club are doing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from application.ports.ledger import LedgerUnavailable
from application.ports.signing_in import StoreUnavailable
from infra.following.outbox import RELAY, lag
from infra.following.projecting import Tail
from infra.following.watch import Watch
from infra.ledger.postgres import Postgres
from infra.ledger.schema import HEAD
from infra.metrics import Metrics
from infra.rabbitmq import UNREACHABLE, RabbitMQ
from infra.secrets.codes import reported
from infra.short_lived import InProcessStore, Store
from projections.catalogue import PROJECTORS
from projections.engine.schema import POSITION

MOST_LAG = 10_000
"""Events, or messages, behind which a part counts as behind, not as current."""

# The head, whether this server takes writes, and how far the read tables are.
_LOOK = f"""
SELECT ({HEAD}),
       NOT pg_is_in_recovery() AND current_setting('transaction_read_only') = 'off',
       ({POSITION})
"""


@dataclass(frozen=True, slots=True)
class Health:
    """The state of each part; `able` is whether the ledger can be written."""

    able: bool
    report: dict[str, Any]


async def examine(
    postgres: Postgres,
    tail: Tail,
    watch: Watch,
    metrics: Metrics,
    store: Store,
    *,
    bot: bool = False,
    rabbitmq: RabbitMQ | None = None,
) -> Health:
    """Ask the database, the projector of this process, and all that the club has beside them.

    `bot` is whether the club has one, which reports in the store.
    """
    others: dict[str, dict[str, Any]] = {"redis": await _redis(store)}
    if bot:
        others["telegram"] = await reported(store)
    if rabbitmq is not None:
        others |= await _rabbitmq(rabbitmq)
    try:
        ((head, writable, position),) = await postgres.rows(_LOOK)
    except LedgerUnavailable as lost:
        return Health(
            able=False,
            report={
                "status": "unavailable",
                "ledger": {"writable": False, "head": None},
                "projectors": _projectors(None, None),
                "components": {
                    "postgres": {"status": "unavailable", "detail": str(lost)},
                    **others,
                },
            },
        )
    watch.advance(position)
    lag = max(0, head - position)
    metrics.ledger_head.set(head)
    metrics.projection_lag.set(lag)
    projector = "behind" if tail.fault or lag > MOST_LAG else "running"
    if rabbitmq is not None:
        others["relay"] = await _relay(postgres)
    parts = [projector, *(part["status"] for part in others.values())]
    well = writable and set(parts) == {"running"}
    status = "running" if well else "degraded"
    return Health(
        able=writable,
        report={
            "status": status if writable else "unavailable",
            "ledger": {"writable": writable, "head": head},
            "projectors": _projectors(position, lag),
            "components": {
                "postgres": {"status": "running" if writable else "read-only"},
                "projector": {"status": projector} | ({"detail": tail.fault} if tail.fault else {}),
                **others,
            },
        },
    )


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


async def _relay(postgres: Postgres) -> dict[str, Any]:
    """How many events are still to go out."""
    behind = await lag(postgres, RELAY)
    status = "running" if behind is not None and behind <= MOST_LAG else "behind"
    return {"status": status, "lag": behind}


def _projectors(position: int | None, lag: int | None) -> dict[str, Any]:
    """All read models advance in one transaction, so they are equally far."""
    return {kind: {"position": position, "lag": lag} for kind in PROJECTORS}
