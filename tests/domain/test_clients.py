"""Clients: who they are, where they stand, and until when they are let in."""

from __future__ import annotations

from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest

from domain.admissions import Admission
from domain.clients import (
    EVENT_FOR,
    STATUS_AFTER,
    Activated,
    AdmissionWithdrawn,
    Admitted,
    AdmittedProvisionally,
    Cancelled,
    Client,
    DaysGivenBack,
    DaysGranted,
    DaysKept,
    Deactivated,
    Deleted,
    DetailsChanged,
    Expired,
    MembershipChanged,
    NotBornYet,
    NotLapsed,
    PutOnHold,
    Registered,
    Scheduled,
    StatusEvent,
    TimeIsOver,
    Transferred,
)
from domain.values import ClientStatus
from tests.domain.scenario import START, Told, after, given, news, text, told

FACTS: dict[str, Any] = {
    "user_id": 7,
    "membership_id": 3,
    "first_name": "Ada",
    "last_name": "Lovelace",
    "phone_number": "+44 20 7946 0000",
    "gender": "FEMALE",
    "date_of_birth": "1990-12-10",
    "weight_kg": "61.50",
    "height_sm": None,
    "status": "ACTIVE",
}
ADA = told(Registered, **FACTS)
NOW = after(days=1)
NOT_ACTIVE = [status for status in ClientStatus if status is not ClientStatus.ACTIVE]


def who_is(status: ClientStatus) -> Told:
    return told(Registered, **FACTS | {"status": status.value})


def admitted(payment_id: int, *, paid: float, until: float, days: int = 30) -> Told:
    """A payment made `paid` days after the start, and when the time bought ends with it."""
    return told(
        Admitted,
        payment_id=payment_id,
        paid_at=text(after(days=paid)),
        days=days,
        until=text(after(days=until)),
        kept_seconds=None,
    )


def admitted_in_a_pause(payment_id: int, *, paid: float, kept: float, days: int = 30) -> Told:
    """A payment made `paid` days after the start, and the days that are kept with it."""
    seconds = int(kept * DAY)
    facts = {"paid_at": text(after(days=paid)), "days": days, "kept_seconds": seconds}
    return told(Admitted, payment_id=payment_id, until=None, **facts)


def kept(days: float) -> Told:
    return told(DaysKept, kept_seconds=int(days * DAY))


def given_back(*, since: float, at: float, until: float | None) -> Told:
    moment = None if until is None else text(after(days=until))
    return told(
        DaysGivenBack, since=text(after(days=since)), resumed_at=text(after(days=at)), until=moment
    )


def withdrawn(payment_id: int, until: float | None) -> Told:
    moment = None if until is None else text(after(days=until))
    return told(AdmissionWithdrawn, payment_id=payment_id, until=moment, kept_seconds=None)


DAY = 24 * 60 * 60
STOPPED = [ClientStatus.ON_HOLD, ClientStatus.CANCELLED]


PATIENCE = timedelta(hours=24)
IN_PATIENCE = told(AdmittedProvisionally, until=text(START + PATIENCE))


def admit(client: Client, payment_id: int, *, paid: float, now: float, days: int = 30) -> None:
    client.admit(Admission(payment_id, text(after(days=paid)), days), after(days=now))


# --- who they are ------------------------------------------------------------------------------


def test_a_new_client_has_every_documented_column_and_no_time_paid_for() -> None:
    client = Client.register(42, FACTS, START)
    assert news(client) == [ADA]
    assert client.row() == {"id": 42, **FACTS}
    assert client.until is None


def test_an_event_tells_only_what_changed_about_the_person() -> None:
    client = given(Client, 42, ADA)
    client.change_details({"first_name": "Ada", "weight_kg": None, "height_sm": "170.00"}, NOW)
    changes = {"weight_kg": None, "height_sm": "170.00"}
    assert news(client) == [told(DetailsChanged, changes=changes)]
    assert client.row() == {"id": 42, **FACTS, **changes}


def test_belonging_to_another_user_is_an_event_of_its_own() -> None:
    client = given(Client, 42, ADA)
    client.transfer(8, NOW)
    assert news(client) == [told(Transferred, user_id=8)]
    assert client.user_id == 8


def test_another_membership_is_an_event_of_its_own() -> None:
    client = given(Client, 42, ADA)
    client.change_membership(4, NOW)
    assert news(client) == [told(MembershipChanged, membership_id=4)]
    assert client.membership_id == 4


def test_what_stays_the_same_is_no_event() -> None:
    client = given(Client, 42, ADA)
    client.change_details(FACTS, NOW)
    client.transfer(7, NOW)
    client.change_membership(3, NOW)
    client.change_status(ClientStatus.ACTIVE, NOW)
    assert news(client) == []


@pytest.mark.parametrize("born", ["1899-12-31", "2026-01-02", "2199-01-01"])
def test_nobody_was_born_after_today_or_before_1900(born: str) -> None:
    with pytest.raises(NotBornYet) as refused:
        Client.register(42, FACTS | {"date_of_birth": born}, START)
    assert refused.value.field == "date_of_birth"
    client = given(Client, 42, ADA)
    with pytest.raises(NotBornYet):
        client.change_details({"date_of_birth": born}, START)
    assert news(client) == []


@pytest.mark.parametrize("born", ["1900-01-01", "2026-01-01"])
def test_a_client_may_be_born_on_the_first_day_and_today(born: str) -> None:
    client = Client.register(42, FACTS | {"date_of_birth": born}, START)
    assert client.facts["date_of_birth"] == born


def test_a_client_leaves_the_books() -> None:
    client = given(Client, 42, ADA)
    client.delete(NOW)
    assert news(client) == [told(Deleted)]
    assert client.deleted


# --- who lets themselves in ---------------------------------------------------------------------


def test_whoever_makes_a_client_of_themselves_is_let_in_for_the_time_to_pay() -> None:
    client = Client.register(42, FACTS, START, patience=PATIENCE)
    assert news(client) == [ADA, IN_PATIENCE]
    with pytest.raises(NotLapsed):
        client.lapse(START + PATIENCE - timedelta(microseconds=1))
    client.lapse(START + PATIENCE)
    assert client.status is ClientStatus.EXPIRED


def test_who_starts_later_is_not_let_in_yet() -> None:
    client = Client.register(42, FACTS | {"status": "UPCOMING"}, START, patience=PATIENCE)
    assert news(client) == [who_is(ClientStatus.UPCOMING)]


@pytest.mark.parametrize("paid", [0, 0.9])
def test_a_payment_counts_in_place_of_the_provisional_time(paid: float) -> None:
    client = given(Client, 42, ADA, IN_PATIENCE)
    admit(client, 1, paid=paid, now=0.9)
    assert news(client) == [admitted(1, paid=paid, until=paid + 30)]
    assert not client.provisional


def test_a_payment_after_the_provisional_time_lets_the_client_in_again() -> None:
    client = given(Client, 42, ADA, IN_PATIENCE, told(Expired))
    admit(client, 1, paid=5, now=5)
    assert news(client) == [admitted(1, paid=5, until=35), told(Activated)]


def test_a_refund_within_the_provisional_time_ends_it() -> None:
    client = given(Client, 42, ADA, IN_PATIENCE, admitted(1, paid=0, until=30))
    client.withdraw_admission(1, after(hours=1))
    assert client.status is ClientStatus.EXPIRED


# --- where they stand --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "event"),
    [
        (ClientStatus.ACTIVE, Activated),
        (ClientStatus.INACTIVE, Deactivated),
        (ClientStatus.ON_HOLD, PutOnHold),
        (ClientStatus.CANCELLED, Cancelled),
        (ClientStatus.EXPIRED, Expired),
        (ClientStatus.UPCOMING, Scheduled),
    ],
)
def test_each_status_of_a_client_has_an_event_of_its_own(
    status: ClientStatus, event: type[StatusEvent]
) -> None:
    other = next(s for s in ClientStatus if s is not status)
    client = given(Client, 42, who_is(other), admitted(1, paid=0, until=30))
    client.change_status(status, NOW)
    assert told(event) in news(client)
    assert client.status is status


def test_no_status_of_a_client_is_left_out() -> None:
    assert set(STATUS_AFTER.values()) == set(ClientStatus)


@pytest.mark.parametrize("status", ClientStatus)
def test_a_client_on_hold_or_cancelled_cannot_be_given_a_training(status: ClientStatus) -> None:
    stopped = {ClientStatus.ON_HOLD, ClientStatus.CANCELLED}
    client = given(Client, 42, who_is(status))
    assert client.can_be_given_trainings == (status not in stopped)


# --- pauses ------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", STOPPED)
def test_days_are_kept_in_a_pause_and_given_back_after_it(status: ClientStatus) -> None:
    """30 days paid, 40 days of pause."""
    client = given(Client, 42, ADA, admitted(1, paid=0, until=30))
    client.change_status(status, after(days=0))
    client.change_status(ClientStatus.ACTIVE, after(days=40))
    paused = [told(EVENT_FOR[status]), kept(30)]
    assert news(client) == [*paused, given_back(since=0, at=40, until=70), told(Activated)]
    assert (client.until, client.kept_seconds) == (text(after(days=70)), None)


def test_what_is_kept_is_what_was_not_used() -> None:
    client = given(Client, 42, ADA, admitted(1, paid=0, until=30))
    client.change_status(ClientStatus.ON_HOLD, after(days=12))
    assert (client.until, client.kept_seconds) == (None, 18 * DAY)
    client.change_status(ClientStatus.ACTIVE, after(days=13))
    client.change_status(ClientStatus.ON_HOLD, after(days=20))
    client.change_status(ClientStatus.ACTIVE, after(days=25))
    assert client.until == text(after(days=36))


def test_a_client_on_hold_whose_contract_ends_is_still_in_one_pause() -> None:
    client = given(Client, 42, ADA, admitted(1, paid=0, until=30))
    client.change_status(ClientStatus.ON_HOLD, after(days=10))
    client.change_status(ClientStatus.CANCELLED, after(days=15))
    client.change_status(ClientStatus.ACTIVE, after(days=20))
    assert client.until == text(after(days=40))


def test_a_payment_in_a_pause_adds_to_what_is_kept() -> None:
    client = given(Client, 42, ADA, admitted(1, paid=0, until=30))
    client.change_status(ClientStatus.ON_HOLD, after(days=10))
    admit(client, 2, paid=15, now=16)
    assert client.kept_seconds == 50 * DAY
    client.withdraw_admission(1, after(days=20))
    assert client.kept_seconds == 30 * DAY
    client.change_status(ClientStatus.ACTIVE, after(days=21))
    assert client.until == text(after(days=51))


def test_news_of_a_payment_made_in_a_pause_that_is_over_count_from_its_end() -> None:
    client = given(Client, 42, ADA)
    client.change_status(ClientStatus.ON_HOLD, after(days=10))
    client.change_status(ClientStatus.ACTIVE, after(days=20))
    admit(client, 1, paid=15, now=25)
    assert client.until == text(after(days=50))


@pytest.mark.parametrize("late", [timedelta(), timedelta(days=1)])
def test_a_pause_that_begins_when_the_time_is_over_keeps_nothing(late: timedelta) -> None:
    client = given(Client, 42, ADA, admitted(1, paid=0, until=30))
    client.change_status(ClientStatus.ON_HOLD, after(days=30) + late)
    assert news(client) == [told(PutOnHold)]
    with pytest.raises(TimeIsOver):
        client.change_status(ClientStatus.ACTIVE, after(days=40))


def test_the_last_second_before_the_end_is_kept() -> None:
    client = given(Client, 42, ADA, admitted(1, paid=0, until=30))
    client.change_status(ClientStatus.ON_HOLD, after(days=30) - timedelta(seconds=1))
    assert client.kept_seconds == 1
    client.change_status(ClientStatus.ACTIVE, after(days=40))
    assert client.until == text(after(days=40) + timedelta(seconds=1))


def test_provisional_time_is_kept_as_well() -> None:
    client = given(Client, 42, ADA, IN_PATIENCE)
    client.change_status(ClientStatus.ON_HOLD, after(hours=10))
    assert client.kept_seconds == 14 * 60 * 60
    client.change_status(ClientStatus.ACTIVE, after(hours=50))
    assert client.until == text(after(hours=64))


def test_who_was_in_without_an_end_is_so_again_after_a_pause() -> None:
    client = given(Client, 42, ADA)
    client.change_status(ClientStatus.ON_HOLD, after(days=1))
    client.change_status(ClientStatus.ACTIVE, after(days=400))
    assert (client.status, client.until) == (ClientStatus.ACTIVE, None)


def test_a_pause_that_began_with_an_earlier_release_counts() -> None:
    """Nothing was said of days then."""
    client = given(Client, 42, ADA, admitted(1, paid=0, until=30), told(PutOnHold))
    client.change_status(ClientStatus.ACTIVE, after(days=40))
    assert client.until == text(after(days=70))


def test_a_pause_that_an_earlier_release_ended_does_not_count() -> None:
    """The days went on then, and what an event said holds."""
    history = [admitted(1, paid=0, until=30), told(PutOnHold), told(Activated)]
    client = given(Client, 42, ADA, *history)
    admit(client, 2, paid=20, now=20)
    assert client.until == text(after(days=60))


# --- days that nobody pays for -----------------------------------------------------------------


def granted(days: int, *, until: float | None, kept_days: float | None = None) -> Told:
    moment = None if until is None else text(after(days=until))
    seconds = None if kept_days is None else int(kept_days * DAY)
    facts = {"days": days, "until": moment, "kept_seconds": seconds}
    return told(DaysGranted, reason="The pool was closed.", **facts)


@pytest.mark.parametrize("status", [s for s in NOT_ACTIVE if s not in STOPPED])
def test_days_that_are_granted_let_a_client_in_from_now_on(status: ClientStatus) -> None:
    client = given(Client, 42, who_is(status))
    client.grant(10, "The pool was closed.", after(days=5))
    assert news(client) == [granted(10, until=15), told(Activated)]


def test_days_that_are_granted_add_to_those_that_are_left() -> None:
    client = given(Client, 42, ADA, admitted(1, paid=0, until=30))
    client.grant(10, "The pool was closed.", after(days=5))
    client.grant(10, "The pool was closed.", after(days=5))
    assert news(client) == [granted(10, until=40), granted(10, until=50)]
    client.withdraw_admission(1, after(days=6))
    assert client.until == text(after(days=25))


@pytest.mark.parametrize("status", STOPPED)
def test_days_that_are_granted_in_a_pause_are_kept(status: ClientStatus) -> None:
    client = given(Client, 42, who_is(status))
    client.grant(10, "The pool was closed.", after(days=5))
    assert news(client) == [granted(10, until=None, kept_days=10)]
    client.change_status(ClientStatus.ACTIVE, after(days=100))
    assert client.until == text(after(days=110))


# --- whom the club can let in ------------------------------------------------------------------


@pytest.mark.parametrize("status", NOT_ACTIVE)
def test_nobody_is_made_active_whose_time_is_over(status: ClientStatus) -> None:
    words = r"^The time of this client is over; days can be granted: POST /clients/42/grants/\.$"
    for history in ([], [admitted(1, paid=0, until=10, days=10), withdrawn(1, None)]):
        client = given(Client, 42, who_is(status), *history)
        with pytest.raises(TimeIsOver, match=words) as refused:
            client.change_status(ClientStatus.ACTIVE, after(days=40))
        assert refused.value.field == "status"
        assert news(client) == []


@pytest.mark.parametrize("status", [s for s in NOT_ACTIVE if s is not ClientStatus.ON_HOLD])
def test_who_never_paid_and_was_not_let_in_any_more_is_not_made_active(
    status: ClientStatus,
) -> None:
    client = given(Client, 42, ADA)
    client.change_status(status, NOW)
    with pytest.raises(TimeIsOver):
        client.change_status(ClientStatus.ACTIVE, NOW)


@pytest.mark.parametrize("status", [s for s in NOT_ACTIVE if s not in STOPPED])
def test_who_has_time_left_is_made_active_and_has_used_it_meanwhile(status: ClientStatus) -> None:
    client = given(Client, 42, ADA, admitted(1, paid=0, until=30))
    client.change_status(status, after(days=10))
    client.change_status(ClientStatus.ACTIVE, after(days=20))
    assert client.until == text(after(days=30))


# --- until when they are let in ----------------------------------------------------------------


def test_a_payment_lets_the_client_in_for_the_days_after_it_was_made() -> None:
    client = given(Client, 42, ADA)
    admit(client, 1, paid=0, now=1)
    assert news(client) == [admitted(1, paid=0, until=30)]
    assert client.until == text(after(days=30))


@pytest.mark.parametrize("status", [s for s in NOT_ACTIVE if s not in STOPPED])
def test_a_payment_makes_a_client_active_who_only_has_no_time(status: ClientStatus) -> None:
    client = given(Client, 42, who_is(status))
    admit(client, 1, paid=0, now=0)
    assert news(client) == [admitted(1, paid=0, until=30), told(Activated)]
    assert client.status is ClientStatus.ACTIVE


@pytest.mark.parametrize("status", STOPPED)
def test_a_payment_of_a_client_whom_the_club_stopped_keeps_its_days(status: ClientStatus) -> None:
    client = given(Client, 42, who_is(status))
    admit(client, 1, paid=0, now=0)
    assert news(client) == [admitted_in_a_pause(1, paid=0, kept=30)]
    assert client.status is status
    client.change_status(ClientStatus.ACTIVE, after(days=100))
    assert news(client)[1:] == [given_back(since=0, at=100, until=130), told(Activated)]


def test_a_payment_while_time_is_left_adds_its_days_to_the_end() -> None:
    client = given(Client, 42, ADA, admitted(1, paid=0, until=30))
    admit(client, 2, paid=20, now=20)
    assert news(client) == [admitted(2, paid=20, until=60)]


@pytest.mark.parametrize("paid", [30, 31, 100])
def test_a_payment_after_the_end_counts_from_the_moment_it_was_made(paid: int) -> None:
    client = given(Client, 42, who_is(ClientStatus.EXPIRED), admitted(1, paid=0, until=30))
    admit(client, 2, paid=paid, now=paid)
    assert news(client) == [admitted(2, paid=paid, until=paid + 30), told(Activated)]


def test_a_payment_counts_once() -> None:
    client = given(Client, 42, who_is(ClientStatus.INACTIVE), admitted(1, paid=0, until=30))
    admit(client, 1, paid=5, now=5)
    assert news(client) == []


def test_a_payment_that_becomes_known_too_late_lets_nobody_in() -> None:
    client = given(Client, 42, who_is(ClientStatus.EXPIRED))
    admit(client, 1, paid=0, now=30)
    assert news(client) == [admitted(1, paid=0, until=30)]
    assert client.status is ClientStatus.EXPIRED


def test_what_a_payment_buys_is_decided_when_it_is_made() -> None:
    client = given(Client, 42, ADA, admitted(1, paid=0, until=10, days=10))
    admit(client, 2, paid=5, now=5, days=30)
    assert client.until == text(after(days=40))


@pytest.mark.parametrize("order", list(permutations([1, 2, 3])), ids=str)
def test_the_order_in_which_payments_become_known_does_not_matter(order: tuple[int, ...]) -> None:
    """Payments on days 0 and 20, then one on day 80, after the time of both has ended.

    They were made in another order than they were asked for.
    """
    paid = {3: 0, 1: 20, 2: 80}
    client = given(Client, 42, ADA)
    for payment_id in order:
        admit(client, payment_id, paid=paid[payment_id], now=81)
    assert client.until == text(after(days=110))
    assert client.status is ClientStatus.ACTIVE


def test_a_refund_takes_the_time_that_the_payment_had_bought_away() -> None:
    client = given(Client, 42, ADA, admitted(1, paid=0, until=30), admitted(2, paid=20, until=60))
    client.withdraw_admission(1, after(days=25))
    assert news(client) == [withdrawn(1, until=50)]
    assert client.until == text(after(days=50))
    assert client.status is ClientStatus.ACTIVE


def test_a_refund_of_the_only_payment_ends_the_time() -> None:
    client = given(Client, 42, ADA, admitted(1, paid=0, until=30))
    client.withdraw_admission(1, NOW)
    assert news(client) == [withdrawn(1, until=None), told(Expired)]
    assert client.until is None


@pytest.mark.parametrize("status", NOT_ACTIVE)
def test_a_refund_does_not_move_a_client_who_was_not_let_in_anyway(status: ClientStatus) -> None:
    client = given(Client, 42, who_is(status), admitted(1, paid=0, until=30))
    client.withdraw_admission(1, NOW)
    assert news(client) == [withdrawn(1, until=None)]
    assert client.status is status


def test_a_refund_of_a_payment_that_never_counted_changes_nothing() -> None:
    client = given(Client, 42, ADA, admitted(1, paid=0, until=30))
    client.withdraw_admission(2, NOW)
    assert news(client) == []


@pytest.mark.parametrize("late", [timedelta(), timedelta(days=3)])
def test_a_client_becomes_expired_when_the_time_has_ended(late: timedelta) -> None:
    client = given(Client, 42, ADA, admitted(1, paid=0, until=30))
    client.lapse(after(days=30) + late)
    assert news(client) == [told(Expired)]


def test_a_client_whose_time_is_running_is_left_alone() -> None:
    client = given(Client, 42, ADA, admitted(1, paid=0, until=30))
    with pytest.raises(NotLapsed):
        client.lapse(after(days=30) - timedelta(microseconds=1))
    assert client.status is ClientStatus.ACTIVE


def test_a_client_who_never_paid_does_not_lapse() -> None:
    client = given(Client, 42, ADA)
    with pytest.raises(NotLapsed):
        client.lapse(after(days=1000))


@pytest.mark.parametrize("status", NOT_ACTIVE)
def test_only_an_active_client_becomes_expired(status: ClientStatus) -> None:
    client = given(Client, 42, who_is(status), admitted(1, paid=0, until=30))
    client.lapse(after(days=31))
    assert news(client) == []
    assert client.status is status
