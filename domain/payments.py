"""Money that a client owes, pays or gets back for a membership."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any, Self

from domain.aggregate import Aggregate, CreatedEvent, Event, Facts, text_time, time_text
from domain.privacy import DeclaredIn, Plain
from domain.refusals import Conflict
from domain.values import PaymentStatus


class ImpossibleStep(Conflict):
    """A payment that is {status} cannot become {wanted}."""


class PaymentSettled(Conflict):
    """A payment that is {status} is part of the accounts: it is refunded, never {wanted}."""


class NotOverdue(Conflict):
    """The time to settle this payment has not ended."""


class Payment(Aggregate):
    """Money that a client owes, pays or gets back; it outlives the client: it is an account."""

    TOPIC = "payment"

    def __init__(self) -> None:
        super().__init__()
        self.refund_announced: str | None = None

    @classmethod
    def request(
        cls,
        number: int,
        client_id: int,
        membership_id: int,
        occurred_at: datetime,
        at: datetime,
        *,
        amount: str | None = None,
    ) -> Self:
        """Ask a client to pay `amount` for a membership, since `occurred_at`."""
        return cls.begin(
            number,
            Requested,
            at=at,
            client_id=client_id,
            membership_id=membership_id,
            occurred_at=time_text(occurred_at),
            amount=amount,
        )

    @property
    def client_id(self) -> int:
        """The number of the client who pays."""
        return int(self.facts["client_id"] or 0)

    @property
    def status(self) -> PaymentStatus:
        """How far it has come."""
        return PaymentStatus(str(self.facts["payment_status"]))

    @property
    def since(self) -> datetime:
        """The moment of its status."""
        return text_time(str(self.facts["timestamp"]))

    def change_details(self, facts: Facts, at: datetime) -> None:
        """Change who pays, for what, how much or since when; not once money has moved."""
        changes = self.changed(facts)
        if not changes:
            return
        if self.status in ACCOUNTED:
            raise PaymentSettled(status=self.status.value, wanted="changed")
        self.happen(DetailsChanged, at=at, changes=changes)

    def step(self, status: PaymentStatus, occurred_at: datetime, at: datetime) -> None:
        """Take a step; taking the last one again changes nothing.

        `occurred_at` is the moment that whoever reports the step states.
        """
        if status is self.status:
            return
        possible = STEPS[self.status]
        if self.status is PaymentStatus.EXPIRED and occurred_at <= self.since:
            # The club gave up waiting for news that had happened by then.
            possible = STEPS[PaymentStatus.PENDING]
        if status not in possible:
            raise ImpossibleStep(
                field="payment_status", status=self.status.value, wanted=status.value
            )
        facts: dict[str, Any] = {"occurred_at": time_text(occurred_at)}
        if status in ACCOUNTED:
            facts["client_id"] = self.client_id
        self.happen(EVENT_FOR[status], at=at, **facts)
        if status is PaymentStatus.PAID and self.refund_announced is not None:
            self.step(PaymentStatus.REFUNDED, text_time(self.refund_announced), at)

    def report(self, status: PaymentStatus, occurred_at: datetime, at: datetime) -> None:
        """Take up the news of a step that was taken at `occurred_at`.

        In whatever order and however often the news of a payment come, it ends the same: older
        news than the present status are of no consequence, and a refund waits for its payment.
        """
        if status in SUPERSEDES[self.status] and occurred_at <= self.since:
            return
        unpaid = PaymentStatus.PAID in STEPS[self.status]
        if status is PaymentStatus.REFUNDED and unpaid:
            if self.refund_announced is None:
                self.happen(RefundAnnounced, at=at, occurred_at=time_text(occurred_at))
            return
        self.step(status, occurred_at, at)

    def expire(self, patience: timedelta, at: datetime) -> None:
        """Become EXPIRED because nobody settled it within `patience`."""
        if self.status is not PaymentStatus.PENDING or at < self.since + patience:
            raise NotOverdue
        self.step(PaymentStatus.EXPIRED, at, at)

    def delete(self, at: datetime) -> None:
        """Throw the record away; not once money has moved."""
        if self.status in ACCOUNTED:
            raise PaymentSettled(status=self.status.value, wanted="deleted")
        self.happen(Deleted, at=at)


STEPS: dict[PaymentStatus, frozenset[PaymentStatus]] = {
    PaymentStatus.PENDING: frozenset(
        {
            PaymentStatus.PAID,
            PaymentStatus.FAILED,
            PaymentStatus.CANCELLED,
            PaymentStatus.EXPIRED,
        }
    ),
    # Money that arrives after a failed try, or too late, is money all the same.
    PaymentStatus.FAILED: frozenset({PaymentStatus.PAID, PaymentStatus.CANCELLED}),
    PaymentStatus.EXPIRED: frozenset({PaymentStatus.PAID}),
    PaymentStatus.PAID: frozenset({PaymentStatus.REFUNDED}),
    PaymentStatus.CANCELLED: frozenset(),
    PaymentStatus.REFUNDED: frozenset(),
}
"""Which status may follow which."""

SUPERSEDES: dict[PaymentStatus, frozenset[PaymentStatus]] = {
    PaymentStatus.PENDING: frozenset(),
    PaymentStatus.FAILED: frozenset({PaymentStatus.PENDING, PaymentStatus.EXPIRED}),
    PaymentStatus.EXPIRED: frozenset({PaymentStatus.PENDING}),
    PaymentStatus.CANCELLED: frozenset(
        {PaymentStatus.PENDING, PaymentStatus.FAILED, PaymentStatus.EXPIRED}
    ),
    PaymentStatus.PAID: frozenset(
        {PaymentStatus.PENDING, PaymentStatus.FAILED, PaymentStatus.EXPIRED}
    ),
    PaymentStatus.REFUNDED: frozenset(
        {
            PaymentStatus.PENDING,
            PaymentStatus.FAILED,
            PaymentStatus.EXPIRED,
            PaymentStatus.PAID,
        }
    ),
}
"""Older news that each status makes of no consequence: it came before, whatever the order."""

ACCOUNTED = frozenset({PaymentStatus.PAID, PaymentStatus.REFUNDED})
"""The statuses in which money has moved."""


class Requested(CreatedEvent):
    """A client is asked to pay for a membership, what it costs at that moment."""

    TOPIC = "payment.requested"
    class_version = 2
    client_id: Plain[int]
    membership_id: Plain[int]
    occurred_at: Plain[str]
    amount: Plain[str | None]

    def apply(self, aggregate: Payment) -> None:
        """It is PENDING since that moment."""
        aggregate.facts = {
            "client_id": self.client_id,
            "membership_id": self.membership_id,
            "payment_status": PaymentStatus.PENDING.value,
            "timestamp": self.occurred_at,
            "amount": self.amount,
        }

    @staticmethod
    def upcast_v1_v2(state: dict[str, Any]) -> None:
        """Nobody wrote down how much it was when the first version was written."""
        state["amount"] = None


class DetailsChanged(Event):
    """Who pays, for which membership, how much or since when changed before it was settled."""

    TOPIC = "payment.details-changed"
    changes: Annotated[
        dict[str, Any],
        DeclaredIn(Requested, "client_id", "membership_id", "amount", timestamp="occurred_at"),
    ]

    def apply(self, aggregate: Payment) -> None:
        """What changed holds; the rest stays."""
        aggregate.amend(**self.changes)


class StepEvent(Event):
    """The payment took a step, at the moment that whoever reports it states."""

    occurred_at: Plain[str]

    def apply(self, aggregate: Payment) -> None:
        """The new status holds since that moment."""
        status = STATUS_AFTER[type(self)].value
        aggregate.amend(payment_status=status, timestamp=self.occurred_at)


class Settled(StepEvent):
    """The money arrived: the client is let in (a policy)."""

    TOPIC = "payment.settled"
    client_id: Plain[int]


class Failed(StepEvent):
    """The provider could not collect the money."""

    TOPIC = "payment.failed"


class Cancelled(StepEvent):
    """The payment was called off before it was settled."""

    TOPIC = "payment.cancelled"


class Expired(StepEvent):
    """Nobody settled the payment in time."""

    TOPIC = "payment.expired"


class Refunded(StepEvent):
    """The money went back: the time that it had bought goes too (a policy)."""

    TOPIC = "payment.refunded"
    client_id: Plain[int]


class RefundAnnounced(Event):
    """The news of a refund came before the news of the payment; it waits for it."""

    TOPIC = "payment.refund-announced"
    occurred_at: Plain[str]

    def apply(self, aggregate: Payment) -> None:
        """As soon as the money has arrived, it has gone back."""
        aggregate.refund_announced = self.occurred_at


class Deleted(Event):
    """The record is gone; it never was part of the accounts."""

    TOPIC = "payment.deleted"

    def apply(self, aggregate: Payment) -> None:
        """It is gone."""
        aggregate.deleted = True


STATUS_AFTER: dict[type[StepEvent], PaymentStatus] = {
    Settled: PaymentStatus.PAID,
    Failed: PaymentStatus.FAILED,
    Cancelled: PaymentStatus.CANCELLED,
    Expired: PaymentStatus.EXPIRED,
    Refunded: PaymentStatus.REFUNDED,
}
EVENT_FOR = {status: event for event, status in STATUS_AFTER.items()}
