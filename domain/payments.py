"""Money that a client owes, pays or gets back for a membership."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any, Self

from domain import upcasts
from domain.aggregate import Aggregate, CreatedEvent, Event, Facts, text_time, time_text
from domain.money import UNKNOWN, SecondCollection, Source
from domain.privacy import DeclaredIn, OfClient, Plain
from domain.refusals import Conflict
from domain.values import PaymentStatus


class ImpossibleStep(Conflict):
    """A payment that is {status} cannot become {wanted}."""


class PaymentSettled(Conflict):
    """A payment that is {status} is part of the accounts: it is refunded, never {wanted}."""


class RefundKnown(Conflict):
    """A refund of this payment is known, so money has moved: it is never {wanted}."""


class NotOverdue(Conflict):
    """The time to settle this payment has not ended."""


class Payment(Aggregate):
    """Money that a client owes, pays or gets back; it outlives the client: it is an account."""

    TOPIC = "payment"

    def __init__(self) -> None:
        super().__init__()
        self.collected_by = UNKNOWN
        """From where the money came, once it did."""
        self.second_collections: tuple[SecondCollection, ...] = ()
        self.announced: tuple[tuple[Source, str], ...] = ()
        """Refunds of money of which nobody has told yet that it came, and when each was."""
        self.refunded_at: str | None = None

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

    @property
    def refund_announced(self) -> str | None:
        """When the refund was that waits for this payment to be settled; None where none does."""
        waits = self.announced and self.status not in ACCOUNTED
        return self.announced[-1][1] if waits else None

    def row(self) -> dict[str, Any]:
        """With what is shown beside the documented columns."""
        return {**super().row(), "refund_announced_at": self.refund_announced}

    def change_details(self, facts: Facts, at: datetime) -> None:
        """Change who pays, for what, how much or since when; not once money has moved."""
        changes = self.changed(facts)
        if not changes:
            return
        self._refuse_once_money_moved("changed")
        self.happen(DetailsChanged, at=at, changes=changes)

    def step(
        self,
        status: PaymentStatus,
        occurred_at: datetime,
        at: datetime,
        source: Source | None = None,
    ) -> None:
        """Take a step; taking the last one again changes nothing, but for money from elsewhere.

        `occurred_at` is the moment that whoever reports the step states, `source` where the money
        of it comes from.
        """
        source = source or UNKNOWN
        if status is self.status:
            if status is PaymentStatus.PAID:
                self._collect_again(source, occurred_at, at)
            return
        possible = STEPS[self.status]
        if self.status is PaymentStatus.EXPIRED and occurred_at <= self.since:
            # The club gave up waiting for news that had happened by then.
            possible = STEPS[PaymentStatus.PENDING]
        if status not in possible:
            raise ImpossibleStep(
                field="payment_status", status=self.status.value, wanted=status.value
            )
        if status is PaymentStatus.CANCELLED and self.announced:
            raise RefundKnown(field="payment_status", wanted="cancelled")
        match status:
            case PaymentStatus.PAID:
                self._settle(source, occurred_at, at)
            case PaymentStatus.REFUNDED:
                self._refund(occurred_at, at)
            case _:
                self.happen(EVENT_FOR[status], at=at, occurred_at=time_text(occurred_at))

    def report(
        self,
        status: PaymentStatus,
        occurred_at: datetime,
        at: datetime,
        source: Source | None = None,
    ) -> None:
        """Take up the news of a step that was taken at `occurred_at`.

        In whatever order and however often the news of a payment come, it ends the same: older
        news than the present status are of no consequence, a refund waits for its payment, and
        money that came a second time stays apart from the payment.
        """
        source = source or UNKNOWN
        older = occurred_at <= self.since
        elsewhere = self.status in ACCOUNTED and not source.may_be(self.collected_by)
        match status:
            case PaymentStatus.REFUNDED if self._is_of_other_money(source):
                self._refund_second_collection(source, occurred_at, at)
            case PaymentStatus.REFUNDED if PaymentStatus.PAID in STEPS[self.status]:
                self._announce_refund(source, occurred_at, at)
            case PaymentStatus.REFUNDED if time_text(occurred_at) <= (self.refunded_at or ""):
                return
            case PaymentStatus.PAID if elsewhere and (older or self.status is PaymentStatus.PAID):
                self._collect_again(source, occurred_at, at)
            case PaymentStatus.PAID if self._is_won_back(source, older=older):
                self._settle(source, occurred_at, at)
            case _ if older and status in SUPERSEDES[self.status]:
                return
            case _:
                self.step(status, occurred_at, at, source)

    def expire(self, patience: timedelta, at: datetime) -> None:
        """Become EXPIRED because nobody settled it within `patience`."""
        if self.status is not PaymentStatus.PENDING or at < self.since + patience:
            raise NotOverdue
        self.step(PaymentStatus.EXPIRED, at, at)

    def delete(self, at: datetime) -> None:
        """Throw the record away; not once money has moved."""
        self._refuse_once_money_moved("deleted")
        self.happen(Deleted, at=at)

    def _refuse_once_money_moved(self, wanted: str) -> None:
        if self.status in ACCOUNTED:
            raise PaymentSettled(status=self.status.value, wanted=wanted)
        if self.announced:
            raise RefundKnown(wanted=wanted)

    def _is_of_other_money(self, source: Source) -> bool:
        """Whether a refund is not of what the payment was settled with.

        A refund may have a reference of its own, so who tells of it has to be somebody else, or
        name money that came a second time.
        """
        if self.status not in ACCOUNTED:
            return False
        second = source.reference and self._second_collection(source)
        return bool(second) or not source.is_of(self.collected_by)

    def _is_won_back(self, source: Source, *, older: bool) -> bool:
        """Whether money that had gone back came again: a dispute that the club won."""
        refunded = self.status is PaymentStatus.REFUNDED
        return refunded and not older and source.reference is not None

    def _settle(self, source: Source, occurred_at: datetime, at: datetime) -> None:
        facts = {"client_id": self.client_id, **source._asdict()}
        self.happen(Settled, at=at, occurred_at=time_text(occurred_at), **facts)
        refund = self._waiting_refund(source)
        if refund is not None:
            self._refund(text_time(refund), at)

    def _refund(self, occurred_at: datetime, at: datetime) -> None:
        moment = time_text(occurred_at)
        self.happen(Refunded, at=at, occurred_at=moment, client_id=self.client_id)

    def _announce_refund(self, source: Source, occurred_at: datetime, at: datetime) -> None:
        if not any(whose.is_of(source) for whose, _ in self.announced):
            moment = time_text(occurred_at)
            self.happen(RefundAnnounced, at=at, occurred_at=moment, **source._asdict())

    def _waiting_refund(self, source: Source) -> str | None:
        """When money of this source went back, of which nobody had told yet that it came."""
        waiting = (
            moment
            for whose, moment in self.announced
            if whose.is_of(source) and moment != self.refunded_at
        )
        return next(waiting, None)

    def _collect_again(self, source: Source, occurred_at: datetime, at: datetime) -> None:
        """Note money that came a second time, unless it is what is known already."""
        if source.may_be(self.collected_by) or self._second_collection(source) is not None:
            return
        number = len(self.second_collections) + 1
        facts = {"number_of_collection": number, **source._asdict()}
        self.happen(CollectedAgain, at=at, occurred_at=time_text(occurred_at), **facts)
        refund = self._waiting_refund(source)
        if refund is not None:
            self._give_back(number, refund, at)

    def _refund_second_collection(
        self, source: Source, occurred_at: datetime, at: datetime
    ) -> None:
        if self._second_collection(source) is None:
            # Nobody has told of that money yet: it came by then at the latest.
            self._collect_again(source, occurred_at, at)
        second = self._second_collection(source)
        if second is not None and second.returned_at is None:
            self._give_back(second.number, time_text(occurred_at), at)

    def _give_back(self, number: int, moment: str, at: datetime) -> None:
        self.happen(
            SecondCollectionReturned, at=at, number_of_collection=number, occurred_at=moment
        )

    def _second_collection(self, source: Source) -> SecondCollection | None:
        found = (s for s in self.second_collections if s.source.may_be(source))
        return next(found, None)


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
    upcast_v1_v2 = staticmethod(upcasts.amount_unknown)
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
    class_version = 2
    upcast_v1_v2 = staticmethod(upcasts.source_unknown)
    client_id: Plain[int]
    collector: Plain[str | None]
    reference: OfClient[str | None]

    def apply(self, aggregate: Payment) -> None:
        """It is paid, with the money of this source."""
        super().apply(aggregate)
        aggregate.collected_by = Source(self.collector, self.reference)


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

    def apply(self, aggregate: Payment) -> None:
        """It is refunded, and older news of that are of no consequence."""
        super().apply(aggregate)
        aggregate.refunded_at = self.occurred_at


class RefundAnnounced(Event):
    """The news of a refund came before the news of its money; it waits for them."""

    TOPIC = "payment.refund-announced"
    class_version = 2
    upcast_v1_v2 = staticmethod(upcasts.source_unknown)
    occurred_at: Plain[str]
    collector: Plain[str | None]
    reference: OfClient[str | None]

    def apply(self, aggregate: Payment) -> None:
        """As soon as that money has arrived, it has gone back."""
        source = Source(self.collector, self.reference)
        aggregate.announced = (*aggregate.announced, (source, self.occurred_at))


class CollectedAgain(Event):
    """Money came for a payment that was PAID already: it has to go back."""

    TOPIC = "payment.collected-again"
    number_of_collection: Plain[int]
    occurred_at: Plain[str]
    collector: Plain[str | None]
    reference: OfClient[str | None]

    def apply(self, aggregate: Payment) -> None:
        """It is known apart from the payment, which stays as it is."""
        source = Source(self.collector, self.reference)
        again = SecondCollection(self.number_of_collection, source, self.occurred_at, None)
        aggregate.second_collections = (*aggregate.second_collections, again)


class SecondCollectionReturned(Event):
    """Money that had come a second time went back."""

    TOPIC = "payment.second-collection-returned"
    number_of_collection: Plain[int]
    occurred_at: Plain[str]

    def apply(self, aggregate: Payment) -> None:
        """Nothing of it has to go back any more."""
        aggregate.second_collections = tuple(
            again._replace(returned_at=self.occurred_at)
            if again.number == self.number_of_collection
            else again
            for again in aggregate.second_collections
        )


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
