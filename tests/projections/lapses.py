"""A read model of the tests' own: who stands where, how many lapsed, and what was paid in all.

It uses what the documented tables do not: a keyed fold, as an event does not say what was before,
and sums.
"""

from __future__ import annotations

from decimal import Decimal

from domain import clients, memberships, payments
from domain.clients import STATUS_AFTER, StatusEvent
from domain.recorded import Recorded
from projections.engine.model import Fold, Group, ReadModel, Stepped
from projections.engine.table import Add, Key, Operations, Row, Table

STANDINGS = Table(
    "test_standings",
    key=("client_id",),
    columns="client_id integer NOT NULL, status text NOT NULL, changes integer NOT NULL",
)
LAPSES = Table(
    "test_lapses",
    key=("month", "was"),
    columns="""
        month text NOT NULL, was text NOT NULL,
        times integer NOT NULL DEFAULT 0, weight numeric(12, 2) NOT NULL DEFAULT 0
    """,
)
ASKED = Table(
    "test_asked",
    key=("kind",),
    columns="kind text NOT NULL, events integer NOT NULL, price numeric(12, 2) DEFAULT 0 NOT NULL",
)


def whose(recorded: Recorded) -> Key | None:
    """Which client's standing an event is about."""
    event = recorded.event
    about = isinstance(event, clients.Registered | StatusEvent | clients.Deleted)
    return (event.number,) if about else None


def stand(row: Row | None, recorded: Recorded) -> Stepped:
    """Where the client stands after the event; who was ACTIVE and is EXPIRED has lapsed."""
    event = recorded.event
    match event:
        case clients.Registered():
            return Stepped({"client_id": event.number, "status": event.status, "changes": 0})
        case StatusEvent() if row is not None:
            status = STATUS_AFTER[type(event)].value
            changed = {**row, "status": status, "changes": row["changes"] + 1}
            lapse: dict[str, int | Decimal] = {"times": 1, "weight": Decimal("0.10")}
            key = (event.timestamp.strftime("%Y-%m"), row["status"])
            left = row["status"] == "ACTIVE" and status != "ACTIVE"
            return Stepped(changed, [Add(LAPSES, key, lapse)] if left else ())
        case _:
            return Stepped(None)


def count(recorded: Recorded) -> Operations:
    """Every event is counted by its kind; a membership with its price."""
    event = recorded.event
    price = Decimal(event.price) if isinstance(event, memberships.Added) else Decimal(0)
    yield Add(ASKED, (event.kind,), {"events": 1, "price": price})


LAPSING = Group(
    "test_lapses",
    generation=1,
    models=(
        ReadModel(
            "standings",
            (clients.Client.TOPIC,),
            (STANDINGS, LAPSES),
            folds=(Fold(STANDINGS, whose, stand),),
        ),
        ReadModel(
            "asked",
            (clients.Client.TOPIC, memberships.Membership.TOPIC, payments.Payment.TOPIC),
            (ASKED,),
            count,
        ),
    ),
)
