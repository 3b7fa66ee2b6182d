"""Training plans, the trainings in them, and the clients who follow them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from domain.training_plans import (
    STATUS_AFTER,
    Activated,
    Completed,
    Delayed,
    Deleted,
    DetailsChanged,
    DrawnUp,
    HandedOver,
    PinnedToClient,
    PlanNotPinned,
    PlanPinned,
    Prepared,
    StatusEvent,
    TrainingAdded,
    TrainingInPlan,
    TrainingNotInPlan,
    TrainingPlan,
    TrainingRemoved,
    UnpinnedFromClient,
)
from domain.values import PlanStatus
from tests.domain.scenario import START, after, given, news, text, told

FACTS: dict[str, Any] = {"user_id": 7, "title": "Spring", "description": None, "status": "ACTIVE"}
SPRING = told(DrawnUp, **FACTS)
NOW = after(days=1)


def test_a_new_plan_has_every_documented_column_and_nothing_in_it() -> None:
    plan = TrainingPlan.draw_up(4, FACTS, START)
    assert news(plan) == [SPRING]
    assert plan.row() == {"id": 4, **FACTS, "created_at": text(START)}
    assert plan.training_ids == frozenset()
    assert plan.pinned == {}


def test_a_new_owner_and_a_new_status_are_events_of_their_own() -> None:
    plan = given(TrainingPlan, 4, SPRING)
    plan.change({"user_id": 8, "title": "Summer", "status": "DELAYED"}, NOW)
    assert sorted(news(plan), key=lambda event: event.kind.__name__) == [
        told(Delayed),
        told(DetailsChanged, changes={"title": "Summer"}),
        told(HandedOver, user_id=8),
    ]
    assert plan.user_id == 8
    assert plan.status is PlanStatus.DELAYED


@pytest.mark.parametrize(
    ("status", "event"),
    [
        (PlanStatus.ACTIVE, Activated),
        (PlanStatus.PREPARED, Prepared),
        (PlanStatus.COMPLETED, Completed),
        (PlanStatus.DELAYED, Delayed),
    ],
)
def test_each_status_of_a_plan_has_an_event_of_its_own(
    status: PlanStatus, event: type[StatusEvent]
) -> None:
    other = next(s for s in PlanStatus if s is not status)
    plan = given(TrainingPlan, 4, told(DrawnUp, **FACTS | {"status": other.value}))
    plan.change({"status": status.value}, NOW)
    assert news(plan) == [told(event)]
    assert plan.status is status


def test_no_status_of_a_plan_is_left_out() -> None:
    assert set(STATUS_AFTER.values()) == set(PlanStatus)


def test_what_stays_the_same_is_no_event() -> None:
    plan = given(TrainingPlan, 4, SPRING)
    plan.change(FACTS, NOW)
    assert news(plan) == []


def test_a_training_is_in_a_plan_once() -> None:
    plan = given(TrainingPlan, 4, SPRING)
    plan.add_training(9, NOW)
    assert news(plan) == [told(TrainingAdded, training_id=9)]
    with pytest.raises(TrainingInPlan, match=r"^Training 9 is already in this plan\.$"):
        plan.add_training(9, NOW)


def test_a_training_that_was_taken_out_can_be_put_in_again() -> None:
    plan = given(TrainingPlan, 4, SPRING, told(TrainingAdded, training_id=9))
    plan.remove_training(9, NOW)
    plan.add_training(9, NOW)
    assert news(plan) == [told(TrainingRemoved, training_id=9), told(TrainingAdded, training_id=9)]
    assert plan.training_ids == {9}


def test_a_client_follows_a_plan_since_the_moment_of_pinning() -> None:
    plan = given(TrainingPlan, 4, SPRING)
    plan.pin_to(42, NOW)
    assert news(plan) == [told(PinnedToClient, client_id=42)]
    assert plan.pinned == {42: text(NOW)}


def test_a_client_follows_a_plan_once() -> None:
    plan = given(TrainingPlan, 4, SPRING, told(PinnedToClient, client_id=42))
    with pytest.raises(PlanPinned, match=r"^Client 42 already follows this plan\.$"):
        plan.pin_to(42, NOW)


def test_a_client_lets_go_of_a_plan_while_others_follow_it() -> None:
    pins = [told(PinnedToClient, client_id=n) for n in (42, 43)]
    plan = given(TrainingPlan, 4, SPRING, *pins)
    plan.unpin_from(42, NOW)
    assert news(plan) == [told(UnpinnedFromClient, client_id=42)]
    assert plan.pinned == {43: text(START)}


NOT_THERE: dict[str, tuple[Callable[[TrainingPlan], None], type[Exception]]] = {
    "training": (lambda plan: plan.remove_training(9, NOW), TrainingNotInPlan),
    "client": (lambda plan: plan.unpin_from(42, NOW), PlanNotPinned),
}


@pytest.mark.parametrize("what", NOT_THERE)
def test_what_is_not_in_a_plan_is_not_found_there(what: str) -> None:
    plan = given(TrainingPlan, 4, SPRING)
    do, refusal = NOT_THERE[what]
    with pytest.raises(refusal):
        do(plan)
    assert news(plan) == []


def test_trainings_and_clients_leave_a_deleted_plan_in_words() -> None:
    plan = given(
        TrainingPlan,
        4,
        SPRING,
        *(told(TrainingAdded, training_id=n) for n in (10, 9)),
        *(told(PinnedToClient, client_id=n) for n in (43, 42)),
    )
    plan.delete(NOW)
    assert news(plan) == [
        told(TrainingRemoved, training_id=9),
        told(TrainingRemoved, training_id=10),
        told(UnpinnedFromClient, client_id=42),
        told(UnpinnedFromClient, client_id=43),
        told(Deleted),
    ]
    assert plan.deleted
