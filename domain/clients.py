"""A person whom the club lets in, while the time that was paid for lasts."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Annotated, Any, NamedTuple, Self

from domain.aggregate import Aggregate, CreatedEvent, Event, Facts, text_time, time_text
from domain.privacy import DeclaredIn, OfClient, Plain
from domain.refusals import Conflict, Invalid
from domain.values import ClientStatus


class NotBornYet(Invalid):
    """A date of birth lies between 1900-01-01 and today."""


class NotLapsed(Conflict):
    """The time for which this client is let in has not ended."""


class Client(Aggregate):
    """A person whom the club lets in, while the time that was paid for lasts."""

    TOPIC = "client"

    def __init__(self) -> None:
        super().__init__()
        self.admissions: tuple[Admission, ...] = ()
        self.until: str | None = None
        self.provisional = False
        """Whether the time until then is only the club's patience with a first payment."""

    @classmethod
    def register(
        cls, number: int, facts: Facts, at: datetime, *, patience: timedelta | None = None
    ) -> Self:
        """A new client; that the user and the membership are free is for reservations to say.

        Whoever makes a client of themselves is let in for as long as the club has `patience` with
        a payment; without one, an ACTIVE client stays so until the club says otherwise.
        """
        refuse_unlikely_birth(facts, at)
        client = cls.begin(number, Registered, at=at, **facts)
        if patience is not None and client.status is ClientStatus.ACTIVE:
            client.happen(AdmittedProvisionally, at=at, until=time_text(at + patience))
        return client

    @property
    def user_id(self) -> int:
        """The number of the user this client is."""
        return int(self.facts["user_id"] or 0)

    @property
    def membership_id(self) -> int:
        """The number of the membership this client holds."""
        return int(self.facts["membership_id"] or 0)

    @property
    def status(self) -> ClientStatus:
        """Where the client stands."""
        return ClientStatus(str(self.facts["status"]))

    @property
    def can_be_given_trainings(self) -> bool:
        """Whether a training may be added: not while on hold, not after the contract ended."""
        return self.status not in {ClientStatus.ON_HOLD, ClientStatus.CANCELLED}

    def change_details(self, facts: Facts, at: datetime) -> None:
        """Change plain facts about the person."""
        changes = self.changed(facts)
        refuse_unlikely_birth(changes, at)
        if changes:
            self.happen(DetailsChanged, at=at, changes=changes)

    def transfer(self, user_id: int, at: datetime) -> None:
        """Belong to another user."""
        if user_id != self.user_id:
            self.happen(Transferred, at=at, user_id=user_id)

    def change_membership(self, membership_id: int, at: datetime) -> None:
        """Come in on another membership."""
        if membership_id != self.membership_id:
            self.happen(MembershipChanged, at=at, membership_id=membership_id)

    def change_status(self, status: ClientStatus, at: datetime) -> None:
        """Stand differently with the club."""
        if status is not self.status:
            self.happen(EVENT_FOR[status], at=at)

    def admit(self, bought: Admission, at: datetime, *, welcome: bool = True) -> None:
        """Let the client in for the days that a payment bought; once for each payment.

        The days count in any case; whoever is not `welcome` stays as they are.
        """
        if any(a.payment_id == bought.payment_id for a in self.admissions):
            return
        until = admitted_until((*self.admissions, bought))
        self.happen(Admitted, at=at, **bought._asdict(), until=until)
        if welcome and self._time_left(at):
            self.change_status(ClientStatus.ACTIVE, at)
        elif welcome and self.status is ClientStatus.UPCOMING:
            # The news came late: the time began and ended in the meantime.
            self.change_status(ClientStatus.EXPIRED, at)

    def withdraw_admission(self, payment_id: int, at: datetime) -> None:
        """Take away the time that the payment had bought; the rest counts as without it."""
        kept = [a for a in self.admissions if a.payment_id != payment_id]
        if len(kept) == len(self.admissions):
            return
        until = admitted_until(kept)
        self.happen(AdmissionWithdrawn, at=at, payment_id=payment_id, until=until)
        if self.status is ClientStatus.ACTIVE and not self._time_left(at):
            self.change_status(ClientStatus.EXPIRED, at)

    def lapse(self, at: datetime) -> None:
        """Become EXPIRED because the time that was paid for, or the provisional one, ended."""
        if self.until is None or self._time_left(at):
            raise NotLapsed
        if self.status is ClientStatus.ACTIVE:
            self.change_status(ClientStatus.EXPIRED, at)

    def delete(self, at: datetime) -> None:
        """Leave the club's books."""
        self.happen(Deleted, at=at)

    def _time_left(self, at: datetime) -> bool:
        return self.until is not None and at < text_time(self.until)


class Admission(NamedTuple):
    """The days in the club that one payment bought."""

    payment_id: int
    paid_at: str
    days: int


def admitted_until(admissions: Iterable[Admission]) -> str | None:
    """When the time bought by these payments ends, whatever order they became known in.

    Each payment counts from the moment it was made, or from the end of the time bought before.
    """
    end: datetime | None = None
    for admission in sorted(admissions, key=lambda a: (a.paid_at, a.payment_id)):
        paid_at = text_time(admission.paid_at)
        start = paid_at if end is None else max(end, paid_at)
        end = start + timedelta(days=admission.days)
    return None if end is None else time_text(end)


EARLIEST_BIRTH = "1900-01-01"


def refuse_unlikely_birth(facts: Facts, at: datetime) -> None:
    """Refuse a date of birth in the future or before 1900, where the facts have one."""
    born = facts.get("date_of_birth")
    if isinstance(born, str) and not EARLIEST_BIRTH <= born <= at.date().isoformat():
        raise NotBornYet(field="date_of_birth")


class Registered(CreatedEvent):
    """A user became a client of the club, on a membership."""

    TOPIC = "client.registered"
    user_id: Plain[int]
    membership_id: Plain[int]
    first_name: OfClient[str]
    last_name: OfClient[str]
    phone_number: OfClient[str]
    gender: OfClient[str | None]
    date_of_birth: OfClient[str]
    weight_kg: OfClient[str | None]
    height_sm: OfClient[str | None]
    status: Plain[str]

    def apply(self, aggregate: Client) -> None:
        """All documented columns have a value from here on."""
        aggregate.facts = {
            "user_id": self.user_id,
            "membership_id": self.membership_id,
            "first_name": self.first_name,
            "last_name": self.last_name,
            "phone_number": self.phone_number,
            "gender": self.gender,
            "date_of_birth": self.date_of_birth,
            "weight_kg": self.weight_kg,
            "height_sm": self.height_sm,
            "status": self.status,
        }


class DetailsChanged(Event):
    """Plain facts about the person changed."""

    TOPIC = "client.details-changed"
    changes: Annotated[
        dict[str, Any],
        DeclaredIn(
            Registered,
            "first_name",
            "last_name",
            "phone_number",
            "gender",
            "date_of_birth",
            "weight_kg",
            "height_sm",
        ),
    ]

    def apply(self, aggregate: Client) -> None:
        """What changed holds; the rest stays."""
        aggregate.amend(**self.changes)


class Transferred(Event):
    """The client belongs to another user."""

    TOPIC = "client.transferred"
    user_id: Plain[int]

    def apply(self, aggregate: Client) -> None:
        """The new user holds."""
        aggregate.amend(user_id=self.user_id)


class MembershipChanged(Event):
    """The client comes in on another membership."""

    TOPIC = "client.membership-changed"
    membership_id: Plain[int]

    def apply(self, aggregate: Client) -> None:
        """The new membership holds."""
        aggregate.amend(membership_id=self.membership_id)


class StatusEvent(Event):
    """The client stands differently with the club; each standing has an event of its own."""

    def apply(self, aggregate: Client) -> None:
        """The new status holds."""
        aggregate.amend(status=STATUS_AFTER[type(self)].value)


class Activated(StatusEvent):
    """The client is welcome."""

    TOPIC = "client.activated"


class Deactivated(StatusEvent):
    """The client does not come any more."""

    TOPIC = "client.deactivated"


class PutOnHold(StatusEvent):
    """The client pauses."""

    TOPIC = "client.put-on-hold"


class Cancelled(StatusEvent):
    """The client's contract was ended."""

    TOPIC = "client.cancelled"


class Expired(StatusEvent):
    """The time that was paid for ended."""

    TOPIC = "client.expired"


class Scheduled(StatusEvent):
    """The client starts at a later date."""

    TOPIC = "client.scheduled"


class AdmittedProvisionally(Event):
    """A new client is let in until a moment by which a payment is to be settled."""

    TOPIC = "client.admitted-provisionally"
    until: Plain[str]

    def apply(self, aggregate: Client) -> None:
        """It lasts until a payment counts in its place, or until it ends."""
        aggregate.until = self.until
        aggregate.provisional = True


class Admitted(Event):
    """A payment lets the client in until a moment."""

    TOPIC = "client.admitted"
    payment_id: Plain[int]
    paid_at: Plain[str]
    days: Plain[int]
    until: Plain[str]

    def apply(self, aggregate: Client) -> None:
        """The payment counts from here on."""
        bought = Admission(self.payment_id, self.paid_at, self.days)
        aggregate.admissions = (*aggregate.admissions, bought)
        aggregate.until = self.until
        aggregate.provisional = False


class AdmissionWithdrawn(Event):
    """The time that a payment had bought was taken away."""

    TOPIC = "client.admission-withdrawn"
    payment_id: Plain[int]
    until: Plain[str | None]

    def apply(self, aggregate: Client) -> None:
        """The payment does not count any more."""
        aggregate.admissions = tuple(
            a for a in aggregate.admissions if a.payment_id != self.payment_id
        )
        aggregate.until = self.until


class Deleted(Event):
    """The client is gone, and its trainings with it (a policy)."""

    TOPIC = "client.deleted"

    def apply(self, aggregate: Client) -> None:
        """It is gone."""
        aggregate.deleted = True


STATUS_AFTER: dict[type[StatusEvent], ClientStatus] = {
    Activated: ClientStatus.ACTIVE,
    Deactivated: ClientStatus.INACTIVE,
    PutOnHold: ClientStatus.ON_HOLD,
    Cancelled: ClientStatus.CANCELLED,
    Expired: ClientStatus.EXPIRED,
    Scheduled: ClientStatus.UPCOMING,
}
EVENT_FOR = {status: event for event, status in STATUS_AFTER.items()}
