"""Payments: which step may follow which, and what is part of the accounts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import accumulate, permutations, product

import hypothesis
import pytest
from hypothesis import strategies as st

from domain.money import AT_THE_CLUB, UNKNOWN, Source
from domain.payments import (
    Cancelled,
    CollectedAgain,
    Deleted,
    DetailsChanged,
    Expired,
    Failed,
    ImpossibleStep,
    NotOverdue,
    Payment,
    PaymentSettled,
    RefundAnnounced,
    Refunded,
    RefundKnown,
    Requested,
    SecondCollectionReturned,
    Settled,
    StepEvent,
)
from domain.values import PaymentStatus
from tests.domain.scenario import START, Told, after, given, news, text, told

PENDING, PAID, FAILED, CANCELLED, EXPIRED, REFUNDED = PaymentStatus
NOW = after(days=1)
A_DAY = timedelta(hours=24)

STARTED = {"occurred_at": text(START)}
REQUESTED = told(Requested, client_id=42, membership_id=3, **STARTED, amount="49.90")
NOBODY_SAID = {"collector": None, "reference": None}
SETTLED = told(Settled, **STARTED, client_id=42, **NOBODY_SAID)
HISTORIES: dict[PaymentStatus, tuple[Told, ...]] = {
    PENDING: (REQUESTED,),
    PAID: (REQUESTED, SETTLED),
    FAILED: (REQUESTED, told(Failed, **STARTED)),
    CANCELLED: (REQUESTED, told(Cancelled, **STARTED)),
    EXPIRED: (REQUESTED, told(Expired, **STARTED)),
    REFUNDED: (REQUESTED, SETTLED, told(Refunded, **STARTED, client_id=42)),
}
EVENTS: dict[PaymentStatus, type[StepEvent]] = {
    PAID: Settled,
    FAILED: Failed,
    CANCELLED: Cancelled,
    EXPIRED: Expired,
    REFUNDED: Refunded,
}
POSSIBLE = {
    (PENDING, PAID),
    (PENDING, FAILED),
    (PENDING, CANCELLED),
    (PENDING, EXPIRED),
    (FAILED, PAID),
    (FAILED, CANCELLED),
    (EXPIRED, PAID),
    (PAID, REFUNDED),
}
EVERY_STEP = {(now, wanted) for now, wanted in product(PaymentStatus, repeat=2) if now != wanted}
OPEN = sorted(set(PaymentStatus) - {PAID, REFUNDED})
ACCOUNTED = [PAID, REFUNDED]


def test_a_new_payment_is_pending_since_it_was_asked_for() -> None:
    payment = Payment.request(1, 42, 3, START, START, amount="49.90")
    assert news(payment) == [REQUESTED]
    assert payment.row() == {
        "id": 1,
        "client_id": 42,
        "membership_id": 3,
        "payment_status": "PENDING",
        "timestamp": text(START),
        "amount": "49.90",
        "refund_announced_at": None,
    }


@pytest.mark.parametrize(("now", "wanted"), sorted(POSSIBLE))
def test_a_possible_step_is_an_event_at_the_moment_stated(
    now: PaymentStatus, wanted: PaymentStatus
) -> None:
    payment = given(Payment, 1, *HISTORIES[now])
    payment.step(wanted, after(hours=5), NOW)
    for_the_client = {"client_id": 42} if wanted in ACCOUNTED else {}
    money = NOBODY_SAID if wanted is PAID else {}
    assert news(payment) == [
        told(EVENTS[wanted], occurred_at=text(after(hours=5)), **for_the_client, **money)
    ]
    assert payment.status is wanted
    assert payment.row()["timestamp"] == text(after(hours=5))


@pytest.mark.parametrize(("now", "wanted"), sorted(EVERY_STEP - POSSIBLE))
def test_an_impossible_step_is_refused_and_changes_nothing(
    now: PaymentStatus, wanted: PaymentStatus
) -> None:
    payment = given(Payment, 1, *HISTORIES[now])
    before = payment.row()
    words = rf"^A payment that is {now} cannot become {wanted}\.$"
    with pytest.raises(ImpossibleStep, match=words) as refused:
        payment.step(wanted, NOW, NOW)
    assert refused.value.field == "payment_status"
    assert news(payment) == []
    assert payment.row() == before


@pytest.mark.parametrize("status", PaymentStatus)
def test_the_last_step_taken_again_changes_nothing(status: PaymentStatus) -> None:
    payment = given(Payment, 1, *HISTORIES[status])
    payment.step(status, NOW, NOW)
    assert news(payment) == []


@pytest.mark.parametrize("status", OPEN)
def test_who_pays_and_for_what_may_change_until_money_moves(status: PaymentStatus) -> None:
    payment = given(Payment, 1, *HISTORIES[status])
    payment.change_details({"client_id": 43, "membership_id": 3}, NOW)
    assert news(payment) == [told(DetailsChanged, changes={"client_id": 43})]
    assert payment.client_id == 43


@pytest.mark.parametrize("status", ACCOUNTED)
def test_what_is_part_of_the_accounts_is_not_changed(status: PaymentStatus) -> None:
    payment = given(Payment, 1, *HISTORIES[status])
    with pytest.raises(PaymentSettled):
        payment.change_details({"membership_id": 4}, NOW)
    assert news(payment) == []


@pytest.mark.parametrize("status", PaymentStatus)
def test_naming_who_pays_as_it_is_changes_nothing(status: PaymentStatus) -> None:
    payment = given(Payment, 1, *HISTORIES[status])
    payment.change_details({"client_id": 42, "membership_id": 3}, NOW)
    assert news(payment) == []


def test_the_money_of_a_payment_that_changed_hands_counts_for_its_new_client() -> None:
    changed = told(DetailsChanged, changes={"client_id": 43})
    payment = given(Payment, 1, REQUESTED, changed)
    payment.step(PAID, NOW, NOW)
    assert news(payment) == [told(Settled, occurred_at=text(NOW), client_id=43, **NOBODY_SAID)]


@pytest.mark.parametrize("status", OPEN)
def test_a_payment_in_which_no_money_moved_can_be_thrown_away(status: PaymentStatus) -> None:
    payment = given(Payment, 1, *HISTORIES[status])
    payment.delete(NOW)
    assert news(payment) == [told(Deleted)]
    assert payment.deleted


@pytest.mark.parametrize("status", ACCOUNTED)
def test_accounts_are_not_thrown_away(status: PaymentStatus) -> None:
    payment = given(Payment, 1, *HISTORIES[status])
    words = rf"^A payment that is {status} is part of the accounts: it is refunded, never deleted\."
    with pytest.raises(PaymentSettled, match=words):
        payment.delete(NOW)
    assert not payment.deleted


@pytest.mark.parametrize("late", [timedelta(), timedelta(days=3)])
def test_a_payment_that_nobody_settles_in_time_expires(late: timedelta) -> None:
    payment = given(Payment, 1, REQUESTED)
    at = START + A_DAY + late
    payment.expire(A_DAY, at)
    assert news(payment) == [told(Expired, occurred_at=text(at))]


def test_a_payment_does_not_expire_before_its_time() -> None:
    payment = given(Payment, 1, REQUESTED)
    with pytest.raises(NotOverdue):
        payment.expire(A_DAY, START + A_DAY - timedelta(microseconds=1))
    assert news(payment) == []


@pytest.mark.parametrize("status", sorted(set(PaymentStatus) - {PENDING}))
def test_only_a_pending_payment_expires(status: PaymentStatus) -> None:
    payment = given(Payment, 1, *HISTORIES[status])
    with pytest.raises(NotOverdue):
        payment.expire(A_DAY, after(days=30))
    assert news(payment) == []


# --- the news of a provider --------------------------------------------------------------------

CAME_BEFORE: dict[PaymentStatus, set[PaymentStatus]] = {
    PENDING: set(),
    FAILED: {PENDING},
    EXPIRED: {PENDING},
    CANCELLED: {PENDING, FAILED},
    PAID: {PENDING, FAILED, EXPIRED},
    REFUNDED: {PENDING, FAILED, EXPIRED, PAID},
}
"""What a payment may have been on its way to each status."""

EARLIER, LATER = after(hours=-1), after(hours=1)
"""Than the last step of the histories above."""

Step = tuple[PaymentStatus, datetime]
WAYS: list[tuple[PaymentStatus, ...]] = [
    (),
    (FAILED,),
    (FAILED, PAID),
    (FAILED, PAID, REFUNDED),
    (FAILED, CANCELLED),
    (CANCELLED,),
    (EXPIRED,),
    (EXPIRED, PAID),
    (EXPIRED, PAID, REFUNDED),
    (PAID,),
    (PAID, REFUNDED),
]
"""Every way that a payment may go."""


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[list[Step], list[Step]]:
    """The news of a payment in their order, and as they may arrive."""
    way = draw(st.sampled_from(WAYS))
    gaps = draw(st.lists(st.integers(1, 10**9), min_size=len(way), max_size=len(way)))
    moments = [START + timedelta(microseconds=at) for at in accumulate(gaps)]
    right = list(zip(way, moments, strict=True))
    again = draw(st.lists(st.sampled_from(right), max_size=5)) if right else []
    return right, draw(st.permutations([*right, *again]))


def reported(steps: Sequence[Step]) -> Payment:
    payment = given(Payment, 1, REQUESTED)
    for status, occurred_at in steps:
        payment.report(status, occurred_at, NOW)
    return payment


def test_every_way_that_a_payment_may_go_is_tried() -> None:
    ways: set[tuple[PaymentStatus, ...]] = {()}
    for _ in PaymentStatus:
        ways |= {(*w, n) for w in ways for now, n in POSSIBLE if now == (w[-1] if w else PENDING)}
    assert ways == set(WAYS)


@hypothesis.given(deliveries())
def test_news_in_any_order_and_number_end_as_in_the_right_order(
    delivered: tuple[list[Step], list[Step]],
) -> None:
    right, arrived = (reported(steps) for steps in delivered)
    assert arrived.row() == right.row()
    money = [[e for e in news(p) if e.kind in {Settled, Refunded}] for p in (right, arrived)]
    assert money[0] == money[1]


@pytest.mark.parametrize(("now", "wanted"), sorted(POSSIBLE))
def test_the_news_of_a_possible_step_are_that_step(
    now: PaymentStatus, wanted: PaymentStatus
) -> None:
    payment = given(Payment, 1, *HISTORIES[now])
    payment.report(wanted, LATER, NOW)
    assert [event.kind for event in news(payment)] == [EVENTS[wanted]]
    assert (payment.status, payment.since) == (wanted, LATER)


@pytest.mark.parametrize(
    ("now", "wanted"), sorted((now, old) for now, olds in CAME_BEFORE.items() for old in olds)
)
def test_news_of_what_came_before_change_nothing(now: PaymentStatus, wanted: PaymentStatus) -> None:
    payment = given(Payment, 1, *HISTORIES[now])
    payment.report(wanted, EARLIER, NOW)
    assert news(payment) == []


@pytest.mark.parametrize("moment", [EARLIER, START, LATER], ids=["earlier", "then", "later"])
@pytest.mark.parametrize("status", PaymentStatus)
def test_the_same_news_again_change_nothing(status: PaymentStatus, moment: datetime) -> None:
    payment = given(Payment, 1, *HISTORIES[status])
    payment.report(status, moment, NOW)
    assert news(payment) == []


@pytest.mark.parametrize(
    ("now", "wanted"),
    sorted(
        (now, wanted)
        for now, wanted in EVERY_STEP - POSSIBLE
        if wanted is not REFUNDED or now is CANCELLED
    ),
)
def test_news_of_an_impossible_step_are_refused_and_change_nothing(
    now: PaymentStatus, wanted: PaymentStatus
) -> None:
    payment = given(Payment, 1, *HISTORIES[now])
    before = payment.row()
    with pytest.raises(ImpossibleStep):
        payment.report(wanted, LATER, NOW)
    assert news(payment) == []
    assert payment.row() == before


@pytest.mark.parametrize(
    ("now", "wanted"), [(PAID, CANCELLED), (REFUNDED, CANCELLED), (CANCELLED, PAID)]
)
def test_older_news_that_cannot_have_come_before_are_refused(
    now: PaymentStatus, wanted: PaymentStatus
) -> None:
    payment = given(Payment, 1, *HISTORIES[now])
    with pytest.raises(ImpossibleStep):
        payment.report(wanted, EARLIER, NOW)
    assert news(payment) == []


@pytest.mark.parametrize("status", [PENDING, FAILED, EXPIRED])
def test_a_refund_that_comes_before_its_payment_waits_for_it(status: PaymentStatus) -> None:
    payment = given(Payment, 1, *HISTORIES[status])
    refunded_at = after(hours=3)
    for _ in range(2):
        payment.report(REFUNDED, refunded_at, NOW)
    assert news(payment) == [told(RefundAnnounced, occurred_at=text(refunded_at), **NOBODY_SAID)]
    assert payment.status is status

    payment.report(PAID, LATER, NOW)
    assert news(payment)[1:] == [
        told(Settled, occurred_at=text(LATER), client_id=42, **NOBODY_SAID),
        told(Refunded, occurred_at=text(refunded_at), client_id=42),
    ]
    assert (payment.status, payment.since) == (REFUNDED, refunded_at)


def test_a_refund_that_waits_follows_a_payment_that_a_person_settles() -> None:
    waiting = told(RefundAnnounced, occurred_at=text(LATER), **NOBODY_SAID)
    payment = given(Payment, 1, REQUESTED, waiting)
    payment.step(PAID, NOW, NOW)
    assert [event.kind for event in news(payment)] == [Settled, Refunded]


def test_money_that_arrived_before_the_club_gave_up_is_money_all_the_same() -> None:
    payment = given(Payment, 1, REQUESTED)
    payment.expire(A_DAY, NOW)
    payment.report(PAID, LATER, NOW)
    assert (payment.status, payment.since) == (PAID, LATER)


# --- money that came a second time -------------------------------------------------------------

ACME, OTHER = Source("provider-acme", None), Source("provider-other", None)
R1, R2 = ACME._replace(reference="r1"), ACME._replace(reference="r2")


def again(source: Source, moment: datetime, number: int = 1) -> Told:
    facts = {"number_of_collection": number, "occurred_at": text(moment)}
    return told(CollectedAgain, **facts, **source._asdict())


def gone_back(moment: datetime, number: int = 1) -> Told:
    facts = {"number_of_collection": number, "occurred_at": text(moment)}
    return told(SecondCollectionReturned, **facts)


def paid_by(source: Source) -> Payment:
    return given(Payment, 1, REQUESTED, told(Settled, **STARTED, client_id=42, **source._asdict()))


@pytest.mark.parametrize("moment", [EARLIER, START, LATER], ids=["earlier", "then", "later"])
@pytest.mark.parametrize(
    ("first", "second"), [(ACME, OTHER), (R1, R2), (AT_THE_CLUB, ACME), (ACME, AT_THE_CLUB)]
)
def test_money_from_elsewhere_for_a_paid_payment_is_noted_once_and_changes_nothing(
    first: Source, second: Source, moment: datetime
) -> None:
    payment = paid_by(first)
    before = payment.row()
    for _ in range(2):
        payment.report(PAID, moment, NOW, second)
        payment.report(PAID, moment, NOW, first)
    assert news(payment) == [again(second, moment)]
    assert payment.row() == before


@pytest.mark.parametrize(
    ("first", "second"), [(ACME, ACME), (R1, R1), (R1, ACME), (ACME, R1), (UNKNOWN, R1)]
)
def test_what_may_be_the_same_money_is_no_second_collection(first: Source, second: Source) -> None:
    payment = paid_by(first)
    payment.report(PAID, LATER, NOW, second)
    assert news(payment) == []


@pytest.mark.parametrize(("first", "second"), [(ACME, OTHER), (AT_THE_CLUB, ACME), (R1, R2)])
def test_a_refund_of_the_second_collection_leaves_the_payment(
    first: Source, second: Source
) -> None:
    payment = paid_by(first)
    payment.report(PAID, LATER, NOW, second)
    for _ in range(2):
        payment.report(REFUNDED, NOW, NOW, second)
    assert news(payment) == [again(second, LATER), gone_back(NOW)]
    assert payment.status is PAID
    payment.report(REFUNDED, NOW, NOW, first)
    assert payment.status is REFUNDED


@pytest.mark.parametrize("order", list(permutations(range(3))), ids=str)
def test_two_providers_and_a_refund_of_one_leave_the_money_of_the_other(
    order: tuple[int, ...],
) -> None:
    """Of the two, whoever is heard first settles it; the refund is of what OTHER collected."""
    told_of = [(PAID, START, ACME), (PAID, LATER, OTHER), (REFUNDED, NOW, OTHER)]
    payment = given(Payment, 1, REQUESTED)
    for n in order:
        status, moment, source = told_of[n]
        payment.report(status, moment, NOW, source)
    settled = order.index(0) < order.index(1)
    if settled:
        assert (payment.status, payment.collected_by) == (PAID, ACME)
        assert [s.returned_at for s in payment.second_collections] == [text(NOW)]
    else:
        # The money of OTHER went back, and that of ACME is there: a person has to look.
        assert payment.status is REFUNDED
        assert [(s.source, s.returned_at) for s in payment.second_collections] == [(ACME, None)]


def test_the_refund_of_a_second_collection_may_be_heard_of_before_it() -> None:
    payment = paid_by(ACME)
    payment.report(REFUNDED, LATER, NOW, OTHER)
    payment.report(PAID, START, NOW, OTHER)
    assert news(payment) == [again(OTHER, LATER), gone_back(LATER)]
    assert payment.status is PAID


def test_a_refund_may_have_a_reference_of_its_own() -> None:
    payment = paid_by(R1)
    payment.report(REFUNDED, LATER, NOW, ACME._replace(reference="refund-7"))
    assert payment.status is REFUNDED


def test_money_that_came_while_it_was_paid_is_noted_after_its_refund_too() -> None:
    payment = paid_by(ACME)
    payment.report(REFUNDED, LATER, NOW, ACME)
    payment.report(PAID, START, NOW, OTHER)
    assert news(payment)[1:] == [again(OTHER, START)]


# --- a refund that came first ------------------------------------------------------------------

KNOWN = told(RefundAnnounced, occurred_at=text(LATER), **NOBODY_SAID)


def test_a_payment_whose_refund_is_known_says_so_and_stays_as_it_is() -> None:
    payment = given(Payment, 1, REQUESTED, KNOWN)
    assert payment.row()["refund_announced_at"] == text(LATER)
    with pytest.raises(RefundKnown):
        payment.delete(NOW)
    with pytest.raises(RefundKnown):
        payment.change_details({"client_id": 43}, NOW)
    with pytest.raises(RefundKnown):
        payment.step(CANCELLED, NOW, NOW)
    assert news(payment) == []
    payment.report(FAILED, NOW, NOW)
    payment.report(PAID, LATER, NOW)
    assert payment.status is REFUNDED


# --- a dispute that was won --------------------------------------------------------------------


def test_money_that_comes_again_after_its_refund_settles_the_payment_again() -> None:
    payment = given(Payment, 1, REQUESTED)
    payment.report(PAID, START, NOW, R1)
    payment.report(REFUNDED, LATER, NOW, ACME)
    back = after(hours=2)
    for _ in range(2):
        payment.report(PAID, back, NOW, R2)
        payment.report(REFUNDED, LATER, NOW, ACME)
        payment.report(PAID, START, NOW, R1._replace(reference=None))
    assert [event.kind for event in news(payment)] == [Settled, Refunded, Settled]
    assert (payment.status, payment.since) == (PAID, back)
    payment.report(REFUNDED, after(hours=3), NOW, ACME)
    assert payment.status is REFUNDED


@pytest.mark.parametrize(
    ("source", "moment"), [(ACME, after(hours=2)), (UNKNOWN, after(hours=2))], ids=str
)
def test_without_a_reference_nothing_is_paid_after_its_refund(
    source: Source, moment: datetime
) -> None:
    payment = given(Payment, 1, *HISTORIES[REFUNDED])
    with pytest.raises(ImpossibleStep):
        payment.report(PAID, moment, NOW, source)


def test_a_refund_that_was_known_first_does_not_take_what_was_won_back() -> None:
    payment = given(Payment, 1, REQUESTED)
    for status, hours in ((REFUNDED, 1), (PAID, 0), (PAID, 2)):
        payment.report(status, after(hours=hours), NOW, R1)
    assert payment.status is PAID
