"""The table of payments: accounts, which reference nothing and outlive everything."""

from __future__ import annotations

from domain.payments import STATUS_AFTER, Deleted, DetailsChanged, Requested, StepEvent
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
    indexes=("(client_id)", "(timestamp) WHERE payment_status = 'PENDING'"),
)

PAYMENT_ACCOUNTS = Table(
    "payment_accounts",
    key=("payment_id",),
    columns="payment_id integer NOT NULL, amount numeric",
    constraints=(deferred("FOREIGN KEY (payment_id) REFERENCES payments (id) ON DELETE CASCADE"),),
)
"""Not documented: how much each payment is; NULL where it is from before that was written down."""

TABLES = (PAYMENTS, PAYMENT_ACCOUNTS)


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
            yield Put(PAYMENT_ACCOUNTS, {"payment_id": event.number, "amount": event.amount})
        case DetailsChanged(changes=changes):
            documented = {name: fact for name, fact in changes.items() if name != "amount"}
            if documented:
                yield Patch(PAYMENTS, key, documented)
            if "amount" in changes:
                yield Patch(PAYMENT_ACCOUNTS, key, {"amount": changes["amount"]})
        case StepEvent(occurred_at=occurred_at):
            status = STATUS_AFTER[type(event)].value
            yield Patch(PAYMENTS, key, {"payment_status": status, "timestamp": occurred_at})
        case Deleted():
            yield Remove(PAYMENT_ACCOUNTS, key)
            yield Remove(PAYMENTS, key)
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
        a.amount::text AS amount
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

# PENDING payments whose status is from before a moment, oldest first.
OVERDUE = """
SELECT id FROM payments WHERE payment_status = 'PENDING' AND timestamp < %s
ORDER BY timestamp LIMIT %s
"""
