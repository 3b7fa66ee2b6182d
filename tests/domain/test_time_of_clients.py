"""The days that a client has, to the second: those bought or granted, less those that were used.

The model is a purse. What was bought or granted goes in at the moment at which it counts, every
second takes one second out, and in a pause nothing is taken.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from domain.admissions import Admission
from domain.aggregate import text_time, time_text
from domain.clients import Client
from domain.refusals import Refusal
from domain.values import ClientStatus
from tests.domain.scenario import START
from tests.domain.test_clients import FACTS

DAY = 24 * 60 * 60
PAUSES = {ClientStatus.ON_HOLD, ClientStatus.CANCELLED}
seconds = st.integers(0, 60 * DAY) | st.sampled_from([0, 1, DAY, 10 * DAY, 30 * DAY])
days = st.integers(1, 40)
few = st.integers(0, 4)

Step = tuple[str, Any, Any]
steps = st.one_of(
    st.tuples(st.just("pay"), days, seconds),
    st.tuples(st.just("grant"), days, st.none()),
    st.tuples(st.just("refund"), few, st.none()),
    st.tuples(st.just("stand"), st.sampled_from([*PAUSES, *PAUSES, *ClientStatus]), st.none()),
    st.tuples(st.just("stand"), st.just(ClientStatus.ACTIVE), st.none()),
    st.tuples(st.just("lapse"), st.none(), st.none()),
)


class Life:
    """A client, and beside it what the purse has to go by."""

    def __init__(self) -> None:
        self.client = Client.register(42, FACTS | {"status": "UPCOMING"}, START)
        self.now = START
        self.counts: dict[int, tuple[datetime, int]] = {}
        """For each payment or grant that counts, from when and for how many days."""
        self.pauses: list[list[datetime]] = []
        """When each pause began, and when it ended, if it has."""
        self.paid = self.granted = 0

    def live(self, later: int, step: Step) -> None:
        """Let so many seconds pass, and do what the club lets be done."""
        self.now += timedelta(seconds=later)
        action, one, other = step
        with suppress(Refusal):
            getattr(self, action)(one, other)
        self._watch_pauses()

    def pay(self, many: int, ago: int) -> None:
        """News of a payment that was made so many seconds ago."""
        self.paid += 1
        paid_at = self.now - timedelta(seconds=ago)
        self.client.admit(Admission(self.paid, time_text(paid_at), many), self.now)
        self.counts[self.paid] = (paid_at, many)

    def grant(self, many: int, _: None) -> None:
        """Days that nobody pays for, now."""
        self.client.grant(many, "The pool was closed.", self.now)
        self.granted -= 1
        self.counts[self.granted] = (self.now, many)

    def refund(self, which: int, _: None) -> None:
        self.client.withdraw_admission(which, self.now)
        self.counts.pop(which, None)

    def stand(self, status: ClientStatus, _: None) -> None:
        self.client.change_status(status, self.now)

    def lapse(self, _: None, __: None) -> None:
        self.client.lapse(self.now)

    def _watch_pauses(self) -> None:
        paused = bool(self.pauses) and len(self.pauses[-1]) == 1
        if (self.client.status in PAUSES) == paused:
            return
        if paused:
            self.pauses[-1].append(self.now)
        else:
            self.pauses.append([self.now])

    def purse(self) -> timedelta:
        """What is left, second by second."""
        bought = list(self.counts.values())
        moments = {self.now, *(at for at, _ in bought), *(at for p in self.pauses for at in p)}
        left, before = timedelta(), min(moments)
        for moment in sorted(moments):
            if not any(p[0] <= before and moment <= (p[1:] or [moment])[0] for p in self.pauses):
                left = max(timedelta(), left - (moment - before))
            left += timedelta(days=sum(many for at, many in bought if at == moment))
            before = moment
        return left

    def has(self) -> timedelta:
        """What the club says that is left."""
        if self.client.kept_seconds is not None:
            return timedelta(seconds=self.client.kept_seconds)
        if self.client.until is None:
            return timedelta()
        return max(timedelta(), text_time(self.client.until) - self.now)


HOLD, RESUME = ("stand", ClientStatus.ON_HOLD, None), ("stand", ClientStatus.ACTIVE, None)


@settings(deadline=None)
@given(st.lists(st.tuples(seconds, steps), max_size=14))
@example([(0, ("pay", 30, 0)), (0, HOLD), (40 * DAY, RESUME)])
@example([(0, ("pay", 30, 0)), (30 * DAY, HOLD), (DAY, RESUME), (0, ("pay", 1, DAY))])
@example([(0, ("pay", 1, 0)), (0, ("stand", ClientStatus.EXPIRED, None)), (0, ("refund", 0, None))])
@example([(0, HOLD), (DAY, RESUME), (0, ("pay", 1, 2 * DAY)), (0, ("pay", 2, 2 * DAY))])
def test_a_client_has_what_was_bought_or_granted_less_what_was_used_outside_of_pauses(
    life_of_a_client: list[tuple[int, Step]],
) -> None:
    life = Life()
    for later, step in life_of_a_client:
        before = life.client.status
        life.live(later, step)
        assert life.has() == life.purse()
        expired = before is not life.client.status is ClientStatus.EXPIRED
        if expired and step[0] in {"lapse", "refund"}:
            assert not life.purse()
