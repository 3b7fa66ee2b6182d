"""The table of payments: accounts, which reference nothing and outlive everything."""

from __future__ import annotations

from domain.aggregate import Event
from domain.payments import (
    STATUS_AFTER,
    CollectedAgain,
    Deleted,
    DetailsChanged,
    RefundAnnounced,
    Requested,
    SecondCollectionReturned,
    Settled,
    StepEvent,
)
from domain.recorded import Recorded
from projections.engine.lists import Listing
from projections.engine.model import ReadModel
from projections.engine.table import Operations, Patch, Put, Remove, Table, deferred, utc

PAYMENTS = Table(
    "payments",
    key=("id",),
    columns="""
        id integer NOT NULL DEFAULT nextval('payments_id_seq'),
        client_id integer NOT NULL,
        membership_id integer NOT NULL,
        payment_status payment_status DEFAULT NULL,
        timestamp timestamptz
    """,
    indexes=("(client_id, id)", "(timestamp) WHERE payment_status = 'PENDING'"),
)

PAYMENT_ACCOUNTS = Table(
    "payment_accounts",
    key=("payment_id",),
    columns="""
        payment_id integer NOT NULL, amount numeric, refund_announced_at timestamptz
    """,
    constraints=(deferred("FOREIGN KEY (payment_id) REFERENCES payments (id) ON DELETE CASCADE"),),
)
"""Not documented: how much a payment is (NULL in one of before that was written down), and when the
refund was that waits for it to be settled."""

SECOND_COLLECTIONS = Table(
    "second_collections",
    key=("payment_id", "number"),
    columns="""
        payment_id integer NOT NULL, number integer NOT NULL, collector text, reference text,
        collected_at timestamptz NOT NULL, returned_at timestamptz
    """,
)
"""Not documented: money that came for a payment that was PAID, and has to go back."""

TABLES = (PAYMENTS, PAYMENT_ACCOUNTS, SECOND_COLLECTIONS)


def project(recorded: Recorded) -> Operations:
    """What an event of a payment means for the table."""
    event = recorded.event
    key = (event.number,)
    match event:
        case Requested():
            row = {
                "id": event.number,
                "client_id": event.client_id,
                "membership_id": event.membership_id,
                "payment_status": "PENDING",
                "timestamp": event.occurred_at,
            }
            yield Put(PAYMENTS, row)
            beside = {"amount": event.amount, "refund_announced_at": None}
            yield Put(PAYMENT_ACCOUNTS, {"payment_id": event.number, **beside})
        case DetailsChanged(changes=changes):
            documented = {name: fact for name, fact in changes.items() if name != "amount"}
            if documented:
                yield Patch(PAYMENTS, key, documented)
            if "amount" in changes:
                yield Patch(PAYMENT_ACCOUNTS, key, {"amount": changes["amount"]})
        case StepEvent(occurred_at=occurred_at):
            status = STATUS_AFTER[type(event)].value
            yield Patch(PAYMENTS, key, {"payment_status": status, "timestamp": occurred_at})
            if isinstance(event, Settled):
                yield Patch(PAYMENT_ACCOUNTS, key, {"refund_announced_at": None})
        case Deleted():
            yield Remove(PAYMENT_ACCOUNTS, key)
            yield Remove(PAYMENTS, key)
        case _:
            yield from _money(event)


def _money(event: Event) -> Operations:
    """What is known of money beside the payment's own steps."""
    match event:
        case RefundAnnounced(occurred_at=occurred_at):
            key = (event.number,)
            yield Patch(PAYMENT_ACCOUNTS, key, {"refund_announced_at": occurred_at})
        case CollectedAgain():
            row = {
                "payment_id": event.number,
                "number": event.number_of_collection,
                "collector": event.collector,
                "reference": event.reference,
                "collected_at": event.occurred_at,
                "returned_at": None,
            }
            yield Put(SECOND_COLLECTIONS, row)
        case SecondCollectionReturned(occurred_at=occurred_at):
            which = (event.number, event.number_of_collection)
            yield Patch(SECOND_COLLECTIONS, which, {"returned_at": occurred_at})
        case _:
            return


MODEL = ReadModel("payments", ("payment",), TABLES, project)


LISTING = Listing(
    kind="payment",
    table="""
        payments AS p JOIN payment_accounts AS a ON a.payment_id = p.id
        LEFT JOIN clients AS c ON c.id = p.client_id
    """,
    answer=f"""
        p.id, p.client_id, p.membership_id, p.payment_status, {utc("p.timestamp")},
        a.amount::text AS amount, {utc("a.refund_announced_at")}
    """,
    owner="c.user_id",
    columns={
        "id": "p.id",
        "client_id": "p.client_id",
        "membership_id": "p.membership_id",
        "payment_status": "p.payment_status",
        "timestamp": "p.timestamp",
    },
)

SECOND_COLLECTIONS_LISTING = Listing(
    kind="payment",
    table="""
        second_collections AS s JOIN payments AS p ON p.id = s.payment_id
        JOIN payment_accounts AS a ON a.payment_id = s.payment_id
    """,
    answer=f"""
        s.payment_id, s.number, p.client_id, a.amount::text AS amount, s.collector, s.reference,
        {utc("s.collected_at")}, {utc("s.returned_at")}
    """,
    columns={
        "payment_id": "s.payment_id",
        "client_id": "p.client_id",
        "collector": "s.collector",
        "collected_at": "s.collected_at",
        "returned": "(s.returned_at IS NOT NULL)",
    },
    key=("s.payment_id", "s.number"),
)

# PENDING payments whose status is from before a moment, oldest first.
OVERDUE = """
SELECT id FROM payments WHERE payment_status = 'PENDING' AND timestamp < %s
ORDER BY timestamp LIMIT %s
"""
