"""Money that is asked for, comes, goes back, or is still owed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal

from application.ports.figures import MONEY_COUNTS, MONEY_SUMS
from domain.aggregate import text_time
from domain.memberships import Added, Membership
from domain.memberships import Deleted as Withdrawn
from domain.memberships import DetailsChanged as Described
from domain.payments import (
    STATUS_AFTER,
    CollectedAgain,
    Deleted,
    DetailsChanged,
    Payment,
    Refunded,
    Requested,
    SecondCollectionReturned,
    Settled,
    StepEvent,
)
from domain.recorded import Recorded
from domain.values import PaymentStatus
from projections.engine.model import Fold, LookingFold, ReadModel, Stepped
from projections.engine.table import Add, Key, Row, Table
from projections.figures.bins import counted, quarter
from projections.figures.questions import PERIOD, WITHIN, Cut, Question, within

NONE = "NONE"
"""Of payments for a membership without an access level."""

OWED = frozenset({PaymentStatus.PENDING.value, PaymentStatus.FAILED.value})
"""What may still be settled, and nobody has given up."""

LEVELS = Table(
    "figures_of_memberships",
    key=("membership_id",),
    columns="membership_id integer NOT NULL, access_level text NOT NULL",
)
PAYMENTS = Table(
    "figures_of_payments",
    key=("payment_id",),
    columns="""
        payment_id integer NOT NULL,
        access_level text NOT NULL,
        amount numeric,
        asked timestamptz NOT NULL,
        status text NOT NULL
    """,
)
"""Each payment, with the access level of its membership when it was asked for."""

MONEY = Table(
    "figures_money",
    key=("width", "at", "access_level"),
    columns="""
        width text NOT NULL, at timestamptz NOT NULL, access_level text NOT NULL,
        asked_payments integer NOT NULL DEFAULT 0, asked numeric NOT NULL DEFAULT 0,
        settled_payments integer NOT NULL DEFAULT 0, settled numeric NOT NULL DEFAULT 0,
        refunded_payments integer NOT NULL DEFAULT 0, refunded numeric NOT NULL DEFAULT 0,
        collected_twice integer NOT NULL DEFAULT 0, twice numeric NOT NULL DEFAULT 0,
        returned_payments integer NOT NULL DEFAULT 0, returned numeric NOT NULL DEFAULT 0,
        without_amount integer NOT NULL DEFAULT 0,
        seconds bigint NOT NULL DEFAULT 0,
        within_hour integer NOT NULL DEFAULT 0, within_day integer NOT NULL DEFAULT 0,
        within_week integer NOT NULL DEFAULT 0, later integer NOT NULL DEFAULT 0
    """,
)
"""What moved at each time, and how long payments took that were settled then, in seconds."""

OUTSTANDING = Table(
    "figures_outstanding",
    key=("asked", "access_level"),
    columns="""
        asked timestamptz NOT NULL, access_level text NOT NULL,
        payments integer NOT NULL DEFAULT 0, amount numeric NOT NULL DEFAULT 0
    """,
    indexes=("(asked) WHERE payments <> 0",),
)
"""What was asked for in each quarter hour, and is owed now."""

TABLES = (LEVELS, PAYMENTS, MONEY, OUTSTANDING)


# --- memberships -------------------------------------------------------------------------------


def which(recorded: Recorded) -> Key | None:
    """The membership of which something is said that counts."""
    event = recorded.event
    return (event.number,) if isinstance(event, Added | Described | Withdrawn) else None


def describe(row: Row | None, recorded: Recorded) -> Stepped:
    """What it opens after the event."""
    event = recorded.event
    match event:
        case Added():
            level = event.access_level or NONE
            return Stepped({"membership_id": event.number, "access_level": level})
        case Described(changes=changes) if row is not None and "access_level" in changes:
            return Stepped({**row, "access_level": changes["access_level"] or NONE})
        case Withdrawn():
            return Stepped(None)
        case _:
            return Stepped(row)


# --- payments ----------------------------------------------------------------------------------


def whose(recorded: Recorded) -> Key | None:
    """The payment that an event is about."""
    return (recorded.event.number,) if recorded.event.kind == Payment.TOPIC else None


def for_what(recorded: Recorded) -> Key | None:
    """The membership that is to be paid for from this event on."""
    event = recorded.event
    match event:
        case Requested():
            return (event.membership_id,)
        case DetailsChanged(changes=changes) if "membership_id" in changes:
            return (changes["membership_id"],)
        case _:
            return None


def step(row: Row | None, recorded: Recorded, membership: Row | None) -> Stepped:
    """How far the payment has come, and what that adds to."""
    now = _after(row, recorded, NONE if membership is None else membership["access_level"])
    beside = [*_asked(row, now), *_owed(row, now)]
    if row is not None:
        beside += _moved(row, recorded)
    return Stepped(now, beside)


def _after(row: Row | None, recorded: Recorded, access_level: str) -> Row | None:
    event = recorded.event
    match event:
        case Requested():
            return {
                "payment_id": event.number,
                "access_level": access_level,
                "amount": event.amount,
                "asked": event.occurred_at,
                "status": PaymentStatus.PENDING.value,
            }
        case DetailsChanged(changes=changes) if row is not None:
            level = access_level if "membership_id" in changes else row["access_level"]
            # Later it says when the payment came to where it is, and not when it was asked for.
            pending = row["status"] == PaymentStatus.PENDING.value
            asked = changes.get("timestamp", row["asked"]) if pending else row["asked"]
            amount = changes.get("amount", row["amount"])
            return {**row, "access_level": level, "asked": asked, "amount": amount}
        case StepEvent() if row is not None:
            return {**row, "status": STATUS_AFTER[type(event)].value}
        case Deleted():
            return None
        case _:
            return row


def _asked(row: Row | None, now: Row | None) -> Iterator[Add]:
    """What is asked for: a payment that is put right is put right there, too."""
    before, after = _request(row), _request(now)
    if before == after:
        return
    for request, sign in ((before, -1), (after, 1)):
        if request is not None:
            moment, level, amount = request
            deltas: Mapping[str, int | Decimal] = {
                "asked_payments": sign,
                "asked": sign * _amount(amount),
            }
            yield from counted(MONEY, moment, (level,), deltas)


def _request(row: Row | None) -> tuple[str, str, str | None] | None:
    return None if row is None else (row["asked"], row["access_level"], row["amount"])


def _owed(row: Row | None, now: Row | None) -> Iterator[Add]:
    """What is owed, by the quarter hour in which it was asked for."""
    before, after = _debt(row), _debt(now)
    if before == after:
        return
    for debt, sign in ((before, -1), (after, 1)):
        if debt is not None:
            moment, level, amount = debt
            deltas: Mapping[str, int | Decimal] = {"payments": sign, "amount": sign * amount}
            yield Add(OUTSTANDING, (moment, level), deltas)


def _debt(row: Row | None) -> tuple[str, str, Decimal] | None:
    if row is None or row["status"] not in OWED:
        return None
    return quarter(row["asked"]), row["access_level"], _amount(row["amount"])


def _moved(row: Row, recorded: Recorded) -> Iterator[Add]:
    """Money that came or went back, at the moment that whoever tells of it states."""
    event, amount = recorded.event, _amount(row["amount"])
    deltas: Mapping[str, int | Decimal]
    match event:
        case Settled():
            deltas = {
                "settled_payments": 1,
                "settled": amount,
                **_unknown(row),
                **_took(row, event),
            }
        case Refunded():
            deltas = {"refunded_payments": 1, "refunded": amount}
        case CollectedAgain():
            deltas = {"collected_twice": 1, "twice": amount}
        case SecondCollectionReturned():
            deltas = {"returned_payments": 1, "returned": amount}
        case _:
            return
    yield from counted(MONEY, event.occurred_at, (row["access_level"],), deltas)


def _amount(text: str | None) -> Decimal:
    return Decimal(text or 0)


def _unknown(row: Row) -> dict[str, int | Decimal]:
    """Payments of the first release do not say how much they were."""
    return {"without_amount": 1} if row["amount"] is None else {}


_TOOK = ((3600, "within_hour"), (86_400, "within_day"), (604_800, "within_week"))


def _took(row: Row, settled: Settled) -> dict[str, int | Decimal]:
    """How long it took from being asked for; money that comes back to the club took no time."""
    if row["status"] == PaymentStatus.REFUNDED.value:
        return {}
    took = text_time(settled.occurred_at) - text_time(row["asked"])
    seconds = max(0, round(took.total_seconds()))
    name = next((name for longest, name in _TOOK if seconds <= longest), "later")
    return {"seconds": seconds, name: 1}


MODEL = ReadModel(
    "money",
    (Membership.TOPIC, Payment.TOPIC),
    TABLES,
    folds=(Fold(LEVELS, which, describe), LookingFold(PAYMENTS, whose, step, LEVELS, for_what)),
)


# --- questions ---------------------------------------------------------------------------------

_SUMMED = ", ".join(
    [
        *(f"sum({c})::text AS {c}" for c in MONEY_SUMS),
        *(f"sum({c})::bigint AS {c}" for c in MONEY_COUNTS),
    ]
)


def moved(cut: Cut) -> Question:
    """What moved in each period, by access level."""
    sql = f"""
    SELECT {PERIOD}, access_level, {_SUMMED} FROM {MONEY.name} WHERE {WITHIN} GROUP BY 1, 2
    """
    return Question(("period", "access_level", *MONEY_SUMS, *MONEY_COUNTS), sql, within(cut))


def outstanding(cut: Cut) -> Question:
    """What is owed now, and was asked for in each period; or before all of them, in period -1."""
    sql = f"""
    SELECT width_bucket(asked, %s::timestamptz[]) - 1 AS period,
        sum(payments)::bigint AS payments, sum(amount)::text AS amount
    FROM {OUTSTANDING.name} WHERE payments <> 0 GROUP BY 1
    """
    return Question(("period", "payments", "amount"), sql, [list(cut.moments)])
