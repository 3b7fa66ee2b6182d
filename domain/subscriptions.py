"""Who wants the figures of the morning sent, and what became of each of them.

That a delivery begins is a fact before it is tried: one of which nobody knows what became, as
whoever tried it was killed, is never tried again.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple, Self

from domain.aggregate import Aggregate, CreatedEvent, Event, text_time, time_text
from domain.privacy import OfUser, Plain
from domain.refusals import Conflict

TRIED_FOR = timedelta(hours=6)
"""How long after the daily report its figures are sent; a day later they are of no use."""

FIRST_PAUSE = timedelta(minutes=1)
"""After the first failure; each pause is twice the one before."""

LONGEST_PAUSE = timedelta(hours=1)

LONGEST_SENDING = timedelta(minutes=2)
"""After which nobody is at it any more."""


class NothingToDeliver(Conflict):
    """There is nothing to send to this user now."""


class State(StrEnum):
    """What became of a delivery so far."""

    SENDING = "sending"
    DELIVERED = "delivered"
    FAILED = "failed"
    """It was refused, or nobody could be reached."""
    UNDELIVERABLE = "undeliverable"
    """There is no way to the user."""
    UNKNOWN = "unknown"
    """It may have come or not; so it is not tried again."""


class Delivery(NamedTuple):
    """The newest one: of which day, how it stands since when, and when it is tried again."""

    day: str
    attempt: int
    until: datetime
    state: State
    at: datetime
    again_at: datetime | None = None


class Step(NamedTuple):
    """What was said of a delivery at some moment."""

    day: str
    state: State
    at: datetime
    reason: str | None = None
    again_at: str | None = None

    def row(self) -> dict[str, str | None]:
        """The step as it is shown."""
        return {**self._asdict(), "state": self.state.value, "at": time_text(self.at)}


SHOWN = 20
"""How many steps are shown, the newest first."""


class Subscription(Aggregate):
    """Whether a user, whose number it has, wants the figures of the morning."""

    TOPIC = "subscription"

    def __init__(self) -> None:
        super().__init__()
        self.daily = False
        self.since: datetime | None = None
        self.delivery: Delivery | None = None
        self.steps: tuple[Step, ...] = ()
        """The newest, the newest first."""

    @classmethod
    def take_out(cls, user_id: int, at: datetime) -> Self:
        """The first time that the user wants them."""
        return cls.begin(user_id, TakenOut, at=at)

    def resume(self, at: datetime) -> None:
        """Want them again."""
        if not self.daily:
            self.happen(Resumed, at=at)

    def end(self, at: datetime) -> None:
        """Want them no longer."""
        if self.daily:
            self.happen(Ended, at=at)

    def is_due(self, day: str, drawn_at: datetime, at: datetime) -> bool:
        """Whether the figures of this day, which were drawn up then, are to be sent now."""
        if not self.daily or self.since is None or self.since > drawn_at:
            return False
        last = self.delivery
        if last is None or last.day < day:
            return True
        return last.day == day and last.again_at is not None and at >= last.again_at

    def is_known(self, day: str, state: State, reason: str) -> bool:
        """Whether this is what was said last of the figures of that day."""
        last = self.steps[0] if self.steps else None
        return last is not None and (last.day, last.state, last.reason) == (day, state, reason)

    def begin_delivery(self, day: str, drawn_at: datetime, at: datetime) -> None:
        """Before it is tried; of two who begin at once, one is refused."""
        if not self.is_due(day, drawn_at, at):
            raise NothingToDeliver
        if self.delivery is not None and self.delivery.state is State.SENDING:
            self._lost(at)
        until = time_text(drawn_at + TRIED_FOR)
        self.happen(DeliveryBegun, at=at, day=day, attempt=self._attempt(day) + 1, until=until)

    def delivered(self, day: str, at: datetime) -> None:
        """Telegram has taken it."""
        self._must_be_open(day)
        self.happen(Delivered, at=at, day=day)

    def failed(
        self,
        day: str,
        reason: str,
        at: datetime,
        *,
        state: State = State.FAILED,
        pause: timedelta = timedelta(),
    ) -> None:
        """It has not come, for certain; tried again after a pause that grows, up to some hours."""
        last = self._must_be_open(day)
        grown = min(FIRST_PAUSE * 2 ** (last.attempt - 1), LONGEST_PAUSE)
        again_at = at + max(grown, pause)
        again = time_text(again_at) if again_at < last.until else None
        facts = {"day": day, "state": state.value, "reason": reason, "again_at": again}
        self.happen(DeliveryFailed, at=at, **facts)

    def is_lost(self, at: datetime) -> bool:
        """Whether one was begun of which nobody said what became."""
        last = self.delivery
        return last is not None and last.state is State.SENDING and at - last.at > LONGEST_SENDING

    def lose(self, at: datetime) -> None:
        """Say so of it."""
        if self.is_lost(at):
            self._lost(at)

    def uncertain(self, day: str, reason: str, at: datetime) -> None:
        """Nobody knows whether it has come."""
        self._must_be_open(day)
        self.happen(DeliveryUnknown, at=at, day=day, reason=reason)

    def _lost(self, at: datetime) -> None:
        if self.delivery is not None:
            reason = "Whoever was sending it ended before it was known."
            self.happen(DeliveryUnknown, at=at, day=self.delivery.day, reason=reason)

    def _attempt(self, day: str) -> int:
        return self.delivery.attempt if self.delivery and self.delivery.day == day else 0

    def _must_be_open(self, day: str) -> Delivery:
        last = self.delivery
        if last is None or last.day != day or last.state not in {State.SENDING, State.UNKNOWN}:
            raise NothingToDeliver
        return last


class TakenOut(CreatedEvent):
    """A user wants the figures of the morning from here on."""

    TOPIC = "subscription.taken-out"

    def apply(self, aggregate: Subscription) -> None:
        """They are sent from the next daily report on."""
        aggregate.daily = True
        aggregate.since = self.timestamp


class Resumed(Event):
    """The user wants them again."""

    TOPIC = "subscription.resumed"

    def apply(self, aggregate: Subscription) -> None:
        """They are sent from the next daily report on."""
        aggregate.daily = True
        aggregate.since = self.timestamp


class Ended(Event):
    """The user wants them no longer."""

    TOPIC = "subscription.ended"

    def apply(self, aggregate: Subscription) -> None:
        """None are sent."""
        aggregate.daily = False


class DeliveryBegun(Event):
    """The figures of a day are about to be sent."""

    TOPIC = "subscription.delivery-begun"
    day: Plain[str]
    attempt: Plain[int]
    until: Plain[str]

    def apply(self, aggregate: Subscription) -> None:
        """Somebody is at it."""
        aggregate.steps = _with_step(aggregate, self)
        until = text_time(self.until)
        aggregate.delivery = Delivery(self.day, self.attempt, until, State.SENDING, self.timestamp)


class Delivered(Event):
    """The figures of a day have come."""

    TOPIC = "subscription.delivered"
    day: Plain[str]

    def apply(self, aggregate: Subscription) -> None:
        """That was it, for this day."""
        aggregate.steps = _with_step(aggregate, self)
        if aggregate.delivery is not None:
            done = {"state": State.DELIVERED, "at": self.timestamp, "again_at": None}
            aggregate.delivery = aggregate.delivery._replace(**done)  # type: ignore[arg-type]


class DeliveryFailed(Event):
    """The figures of a day have not come."""

    TOPIC = "subscription.delivery-failed"
    day: Plain[str]
    state: Plain[str]
    reason: OfUser[str]
    again_at: Plain[str | None]

    def apply(self, aggregate: Subscription) -> None:
        """It is tried again at that moment, or given up."""
        aggregate.steps = _with_step(aggregate, self)
        if aggregate.delivery is not None:
            aggregate.delivery = aggregate.delivery._replace(
                state=State(self.state),
                at=self.timestamp,
                again_at=None if self.again_at is None else text_time(self.again_at),
            )


class DeliveryUnknown(Event):
    """Nobody knows whether the figures of a day have come; they are not sent again."""

    TOPIC = "subscription.delivery-unknown"
    day: Plain[str]
    reason: OfUser[str]

    def apply(self, aggregate: Subscription) -> None:
        """It stays so, unless whoever was sending it says more."""
        aggregate.steps = _with_step(aggregate, self)
        if aggregate.delivery is not None:
            aggregate.delivery = aggregate.delivery._replace(
                state=State.UNKNOWN, at=self.timestamp, again_at=None
            )


def step_of(event: Event) -> Step | None:
    """What an event says of a delivery, where it does."""
    match event:
        case DeliveryBegun(day=day):
            return Step(day, State.SENDING, event.timestamp)
        case Delivered(day=day):
            return Step(day, State.DELIVERED, event.timestamp)
        case DeliveryUnknown(day=day, reason=reason):
            return Step(day, State.UNKNOWN, event.timestamp, reason)
        case DeliveryFailed(day=day, state=state, reason=reason, again_at=again_at):
            return Step(day, State(state), event.timestamp, reason, again_at)
        case _:
            return None


def _with_step(aggregate: Subscription, event: Event) -> tuple[Step, ...]:
    step = step_of(event)
    return aggregate.steps if step is None else (step, *aggregate.steps[: SHOWN - 1])
