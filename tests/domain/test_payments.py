"""Payments: which step may follow which, and what is part of the accounts."""

from __future__ import annotations

from datetime import timedelta
from itertools import product

import pytest

from domain.payments import (
    Cancelled,
    Deleted,
    DetailsChanged,
    Expired,
    Failed,
    ImpossibleStep,
    NotOverdue,
    Payment,
    PaymentSettled,
    Refunded,
    Requested,
    Settled,
    StepEvent,
)
from domain.values import PaymentStatus
from tests.domain.scenario import START, Told, after, given, news, text, told

PENDING, PAID, FAILED, CANCELLED, EXPIRED, REFUNDED = PaymentStatus
NOW = after(days=1)
A_DAY = timedelta(hours=24)

STARTED = {"occurred_at": text(START)}
REQUESTED = told(Requested, client_id=42, membership_id=3, **STARTED)
SETTLED = told(Settled, **STARTED, client_id=42)
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
    payment = Payment.request(1, 42, 3, START, START)
    assert news(payment) == [REQUESTED]
    assert payment.shown() == {
        "id": 1,
        "client_id": 42,
        "membership_id": 3,
        "payment_status": "PENDING",
        "timestamp": text(START),
    }


@pytest.mark.parametrize(("now", "wanted"), sorted(POSSIBLE))
def test_a_possible_step_is_an_event_at_the_moment_stated(
    now: PaymentStatus, wanted: PaymentStatus
) -> None:
    payment = given(Payment, 1, *HISTORIES[now])
    payment.step(wanted, after(hours=5), NOW)
    for_the_client = {"client_id": 42} if wanted in ACCOUNTED else {}
    assert news(payment) == [
        told(EVENTS[wanted], occurred_at=text(after(hours=5)), **for_the_client)
    ]
    assert payment.status is wanted
    assert payment.shown()["timestamp"] == text(after(hours=5))


@pytest.mark.parametrize(("now", "wanted"), sorted(EVERY_STEP - POSSIBLE))
def test_an_impossible_step_is_refused_and_changes_nothing(
    now: PaymentStatus, wanted: PaymentStatus
) -> None:
    payment = given(Payment, 1, *HISTORIES[now])
    before = payment.shown()
    words = rf"^A payment that is {now} cannot become {wanted}\.$"
    with pytest.raises(ImpossibleStep, match=words) as refused:
        payment.step(wanted, NOW, NOW)
    assert refused.value.field == "payment_status"
    assert news(payment) == []
    assert payment.shown() == before


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
    assert news(payment) == [told(Settled, occurred_at=text(NOW), client_id=43)]


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
