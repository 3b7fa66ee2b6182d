"""A person whom the club lets in, while the time that was paid for lasts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from math import ceil
from typing import Annotated, Any, Self

from domain import upcasts
from domain.admissions import NO_TIME, Admission, Span, TimeLeft, admitted_until, used_up
from domain.aggregate import Aggregate, CreatedEvent, Event, Facts, text_time, time_text
from domain.privacy import DeclaredIn, OfClient, Plain
from domain.refusals import Conflict, Invalid
from domain.values import ClientStatus


class NotBornYet(Invalid):
    """A date of birth lies between 1900-01-01 and today."""


class TimeIsOver(Conflict):
    """The time of this client is over; days can be granted: POST /clients/{number}/grants/."""

    FIELD = "status"


class NotLapsed(Conflict):
    """The time for which this client is let in has not ended."""


class Client(Aggregate):
    """A person whom the club lets in, while the time that was paid for lasts."""

    TOPIC = "client"

    def __init__(self) -> None:
        super().__init__()
        self.admissions: tuple[Admission, ...] = ()
        self.provisional: Span | None = None
        """The club's patience with a first payment, while none has counted."""
        self.endless = False
        """Whether the client stays in until the club says otherwise: nothing was counted yet."""
        self.pauses: tuple[Span, ...] = ()
        self.paused_since: str | None = None
        self.until: str | None = None
        """When the time of the client ends; None where it has none, or where it is kept."""
        self.kept_seconds: int | None = None
        """What is kept of the time while it is not used, in whole seconds, rounded up."""

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

    def told(self, event: Event) -> Mapping[str, Any]:  # noqa: ARG002 - it is the same for all
        """With the time for which the client is let in."""
        return {**self.facts, "until": self.until, "kept_seconds": self.kept_seconds}

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
        """Stand differently with the club, as it decides; ACTIVE only while there is time."""
        if status is ClientStatus.ACTIVE and status is not self.status:
            left = self._time(self.admissions, at)
            if not self.endless and not left.lasts(at):
                raise TimeIsOver(field="status", number=self.number)
        self._stand(status, at)

    def admit(self, bought: Admission, at: datetime, *, welcome: bool = True) -> None:
        """Let the client in for the days that a payment bought; once for each payment.

        The days count in any case; whoever is not `welcome` stays as they are, and so does whoever
        is ON_HOLD or CANCELLED: that is for the club to change.
        """
        if any(a.payment_id == bought.payment_id for a in self.admissions):
            return
        left = self._time((*self.admissions, bought), at)
        self.happen(Admitted, at=at, **bought._asdict(), **left._asdict())
        if welcome:
            self._come_in(left, at)

    def grant(self, days: int, reason: str, at: datetime, *, welcome: bool = True) -> None:
        """Let the client in for days that nobody pays for; they count as if bought now."""
        granted = Admission(None, time_text(at), days)
        left = self._time((*self.admissions, granted), at)
        self.happen(DaysGranted, at=at, days=days, reason=reason, **left._asdict())
        if welcome:
            self._come_in(left, at)

    def admission(self) -> dict[str, Any]:
        """Until when the client is let in, as it is shown."""
        return {
            "client_id": self.number,
            "status": self.status.value,
            "until": self.until,
            "kept_seconds": self.kept_seconds,
            "provisional": self.provisional is not None,
        }

    def withdraw_admission(self, payment_id: int, at: datetime) -> None:
        """Take away the time that the payment had bought; the rest counts as without it."""
        kept = tuple(a for a in self.admissions if a.payment_id != payment_id)
        if len(kept) == len(self.admissions):
            return
        left = self._time(kept, at)
        self.happen(AdmissionWithdrawn, at=at, payment_id=payment_id, **left._asdict())
        if self.status is ClientStatus.ACTIVE and not left.lasts(at):
            self._stand(ClientStatus.EXPIRED, at)

    def lapse(self, at: datetime) -> None:
        """Become EXPIRED because the time that was paid for, or the provisional one, ended."""
        left = TimeLeft(self.until, self.kept_seconds)
        if left == NO_TIME or left.lasts(at):
            raise NotLapsed
        if self.status is ClientStatus.ACTIVE:
            self._stand(ClientStatus.EXPIRED, at)

    def delete(self, at: datetime) -> None:
        """Leave the club's books."""
        self.happen(Deleted, at=at)

    def _come_in(self, left: TimeLeft, at: datetime) -> None:
        if self.status in STANDING_STILL:
            return
        if left.lasts(at):
            self._stand(ClientStatus.ACTIVE, at)
        elif self.status is ClientStatus.UPCOMING:
            # The news came late: the time began and ended in the meantime.
            self._stand(ClientStatus.EXPIRED, at)

    def _stand(self, status: ClientStatus, at: datetime) -> None:
        """Stand differently; what is left of the time is kept in a pause, and given back after."""
        if status is self.status:
            return
        paused = self.status in STANDING_STILL
        if paused and status not in STANDING_STILL:
            self._give_days_back(at)
        self.happen(EVENT_FOR[status], at=at)
        if not paused and status in STANDING_STILL:
            left = self._time(self.admissions, at)
            if left.kept_seconds is not None:
                self.happen(DaysKept, at=at, kept_seconds=left.kept_seconds)

    def _give_days_back(self, at: datetime) -> None:
        since = self.paused_since or time_text(at)
        pause = Span(since, max(since, time_text(at)))
        until = self._end(self.admissions, (*self.pauses, pause))
        self.happen(DaysGivenBack, at=at, since=since, resumed_at=pause.until, until=until)

    def _time(self, admissions: tuple[Admission, ...], at: datetime) -> TimeLeft:
        """What these come to: a moment, or in a pause what is kept of the time."""
        if self.paused_since is None:
            return TimeLeft(self._end(admissions, self.pauses), None)
        # In a pause it is as if it ended now; a clock elsewhere may be a little ahead of ours.
        now = max(time_text(at), self.paused_since, *(a.paid_at for a in admissions))
        end = self._end(admissions, (*self.pauses, Span(self.paused_since, now)))
        if end is None or end <= now:
            return TimeLeft(end, None)
        return TimeLeft(None, ceil((text_time(end) - text_time(now)).total_seconds()))

    def _end(self, admissions: tuple[Admission, ...], pauses: tuple[Span, ...]) -> str | None:
        if admissions or self.provisional is None:
            return admitted_until(admissions, pauses)
        begin, end = map(text_time, self.provisional)
        return time_text(used_up(begin, end - begin, pauses))


STANDING_STILL = frozenset({ClientStatus.ON_HOLD, ClientStatus.CANCELLED})
"""Where a client uses up none of the time: it is kept until the club decides."""


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
        aggregate.endless = self.status == ClientStatus.ACTIVE
        if self.status in STANDING_STILL:
            aggregate.paused_since = time_text(self.timestamp)


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
        """The new status holds; a pause begins with it, or is over."""
        status = STATUS_AFTER[type(self)]
        aggregate.amend(status=status.value)
        if status in STANDING_STILL:
            aggregate.paused_since = aggregate.paused_since or time_text(self.timestamp)
        else:
            aggregate.paused_since = None
        if status is ClientStatus.ACTIVE:
            aggregate.endless = not aggregate.admissions and aggregate.provisional is None
        elif status is not ClientStatus.ON_HOLD:
            aggregate.endless = False


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
        aggregate.provisional = Span(time_text(self.timestamp), self.until)
        aggregate.endless = False


class Admitted(Event):
    """A payment lets the client in until a moment, or for what is kept until the club decides."""

    TOPIC = "client.admitted"
    class_version = 2
    upcast_v1_v2 = staticmethod(upcasts.nothing_kept)
    payment_id: Plain[int]
    paid_at: Plain[str]
    days: Plain[int]
    until: Plain[str | None]
    kept_seconds: Plain[int | None]

    def apply(self, aggregate: Client) -> None:
        """The payment counts from here on."""
        bought = Admission(self.payment_id, self.paid_at, self.days)
        aggregate.admissions = (*aggregate.admissions, bought)
        aggregate.until = self.until
        aggregate.kept_seconds = self.kept_seconds
        aggregate.provisional = None
        aggregate.endless = False


class DaysGranted(Event):
    """The club lets the client in for days that nobody pays for."""

    TOPIC = "client.days-granted"
    days: Plain[int]
    reason: OfClient[str]
    until: Plain[str | None]
    kept_seconds: Plain[int | None]

    def apply(self, aggregate: Client) -> None:
        """They count from here on."""
        granted = Admission(None, time_text(self.timestamp), self.days)
        aggregate.admissions = (*aggregate.admissions, granted)
        aggregate.until = self.until
        aggregate.kept_seconds = self.kept_seconds
        aggregate.provisional = None
        aggregate.endless = False


class AdmissionWithdrawn(Event):
    """The time that a payment had bought was taken away."""

    TOPIC = "client.admission-withdrawn"
    class_version = 2
    upcast_v1_v2 = staticmethod(upcasts.nothing_kept)
    payment_id: Plain[int]
    until: Plain[str | None]
    kept_seconds: Plain[int | None]

    def apply(self, aggregate: Client) -> None:
        """The payment does not count any more."""
        aggregate.admissions = tuple(
            a for a in aggregate.admissions if a.payment_id != self.payment_id
        )
        aggregate.until = self.until
        aggregate.kept_seconds = self.kept_seconds


class DaysKept(Event):
    """The client pauses, and what is left of the time is kept."""

    TOPIC = "client.days-kept"
    kept_seconds: Plain[int]

    def apply(self, aggregate: Client) -> None:
        """No moment ends it now."""
        aggregate.until = None
        aggregate.kept_seconds = self.kept_seconds


class DaysGivenBack(Event):
    """A pause is over: what was kept of the time is used from here on."""

    TOPIC = "client.days-given-back"
    since: Plain[str]
    resumed_at: Plain[str]
    until: Plain[str | None]

    def apply(self, aggregate: Client) -> None:
        """What is used up does not count the pause."""
        aggregate.pauses = (*aggregate.pauses, Span(self.since, self.resumed_at))
        aggregate.paused_since = None
        aggregate.until = self.until
        aggregate.kept_seconds = None


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
