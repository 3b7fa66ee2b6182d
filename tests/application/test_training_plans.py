"""Commands about training plans, the trainings in them, and the clients who follow them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from pydantic import ValidationError

from application.access import Caller
from application.clients import ChangeClient, DeleteClient
from application.training_plans import (
    MOST_DAYS,
    AddTrainingToPlan,
    ChangePlan,
    DeletePlan,
    DrawUpPlan,
    PinBody,
    PinPlan,
    RemoveTrainingFromPlan,
    ScheduleBody,
    SchedulePlan,
    TrainingInPlanBody,
    TrainingPlanBody,
    TrainingPlanChanges,
    UnpinPlan,
)
from application.trainings import DeleteTraining
from application.users import DeleteUser
from domain.refusals import NotFound, UnknownReference
from domain.training_plans import PlanNotPinned, PlanPinned, TrainingInPlan, TrainingNotInPlan
from domain.trainings import ClientNotTraining
from domain.values import PlanStatus, Role
from tests.application.scene import Scene

DRAWN_UP_AT = "2026-03-02T09:00:00.000000Z"


def body_of(owner: Caller, **facts: str) -> TrainingPlanBody:
    return TrainingPlanBody.model_validate({"user_id": owner.user_id, "title": "Spring", **facts})


def putting(plan_id: int, training_id: int) -> AddTrainingToPlan:
    return AddTrainingToPlan(plan_id, TrainingInPlanBody(training_id=training_id))


async def test_a_plan_is_shown_as_it_was_drawn_up(scene: Scene) -> None:
    owner = await scene.user()
    assert await scene.body(DrawUpPlan(body_of(owner)), owner) == {
        "id": 1,
        "user_id": owner.user_id,
        "title": "Spring",
        "description": None,
        "created_at": DRAWN_UP_AT,
        "status": "ACTIVE",
    }


async def test_a_complete_update_replaces_all_but_a_status_that_is_not_named(
    scene: Scene,
) -> None:
    owner = await scene.user()
    first = body_of(owner, description="Slowly.", status=PlanStatus.DELAYED)
    plan_id = await scene.made(DrawUpPlan(first), owner)
    whole = body_of(owner, title="Summer")
    shown = await scene.body(ChangePlan(plan_id, whole.replacement()), owner)
    assert (shown["title"], shown["description"], shown["status"]) == ("Summer", None, "DELAYED")
    assert shown["created_at"] == DRAWN_UP_AT
    named = body_of(owner, status="ACTIVE").replacement()
    assert (await scene.body(ChangePlan(plan_id, named), owner))["status"] == "ACTIVE"


async def test_a_partial_update_leaves_the_rest(scene: Scene) -> None:
    owner = await scene.user()
    plan_id = await scene.made(DrawUpPlan(body_of(owner, description="Slowly.")), owner)
    changes = TrainingPlanChanges.model_validate({"status": "COMPLETED"})
    shown = await scene.body(ChangePlan(plan_id, changes.named()), owner)
    assert (shown["title"], shown["description"], shown["status"]) == (
        "Spring",
        "Slowly.",
        "COMPLETED",
    )


async def test_a_trainer_draws_up_and_hands_over_plans(scene: Scene) -> None:
    trainer, first, second = await scene.user(Role.TRAINER), await scene.user(), await scene.user()
    plan_id = await scene.made(DrawUpPlan(body_of(first)), trainer)
    await scene.do(ChangePlan(plan_id, {"user_id": second.user_id}), trainer)
    with pytest.raises(NotFound):
        await scene.do(DeletePlan(plan_id), first)
    await scene.do(DeletePlan(plan_id), second)


async def test_a_plan_belongs_to_a_user_who_is_there(scene: Scene) -> None:
    gone, owner = await scene.user(), await scene.user()
    plan_id = await scene.plan(owner)
    await scene.do(DeleteUser(gone.user_id or 0))
    for command in (
        DrawUpPlan(body_of(gone)),
        ChangePlan(plan_id, {"user_id": gone.user_id}),
        ChangePlan(plan_id, {"user_id": 999}),
    ):
        with pytest.raises(UnknownReference) as refused:
            await scene.do(command)
        assert refused.value.field == "user_id"


async def test_a_training_is_put_in_a_plan_once_and_taken_out(scene: Scene) -> None:
    owner = await scene.user()
    training_id, plan_id = await scene.training(await scene.client(owner)), await scene.plan(owner)
    link = {"training_id": training_id, "training_plan_id": plan_id}
    assert await scene.body(putting(plan_id, training_id), owner) == link
    assert scene.rows("training_plan_trainings") == [link]
    with pytest.raises(TrainingInPlan):
        await scene.do(putting(plan_id, training_id), owner)
    await scene.do(RemoveTrainingFromPlan(plan_id, training_id), owner)
    assert scene.rows("training_plan_trainings") == []
    with pytest.raises(TrainingNotInPlan):
        await scene.do(RemoveTrainingFromPlan(plan_id, training_id), owner)


async def test_a_training_that_is_gone_is_not_put_in_a_plan(scene: Scene) -> None:
    owner = await scene.user()
    training_id, plan_id = await scene.training(await scene.client(owner)), await scene.plan(owner)
    await scene.do(DeleteTraining(training_id), owner)
    with pytest.raises(UnknownReference) as refused:
        await scene.do(putting(plan_id, training_id), owner)
    assert refused.value.field == "training_id"


async def test_a_client_follows_a_plan_since_the_moment_of_pinning(scene: Scene) -> None:
    owner = await scene.user()
    client_id, plan_id = await scene.client(owner), await scene.plan(owner)
    scene.services.clock.let_pass(timedelta(hours=1))
    pin = {
        "client_id": client_id,
        "training_plan_id": plan_id,
        "pinned_at": "2026-03-02T10:00:00.000000Z",
    }
    pinning = PinPlan(client_id, PinBody(training_plan_id=plan_id))
    assert await scene.body(pinning, owner) == pin
    assert scene.rows("clients_training_plan") == [pin]
    with pytest.raises(PlanPinned):
        await scene.do(pinning, owner)


async def test_a_plan_that_is_not_there_is_not_pinned_nor_to_who_is_gone(scene: Scene) -> None:
    client_id, plan_id = await scene.client(), await scene.plan(await scene.user())
    with pytest.raises(UnknownReference) as refused:
        await scene.do(PinPlan(client_id, PinBody(training_plan_id=999)))
    assert refused.value.field == "training_plan_id"
    await scene.do(DeleteClient(client_id))
    with pytest.raises(NotFound, match=rf"^There is no client {client_id}\.$"):
        await scene.do(PinPlan(client_id, PinBody(training_plan_id=plan_id)))


async def test_a_client_lets_go_of_a_plan_whoever_drew_it_up(scene: Scene) -> None:
    owner, trainer = await scene.user(), await scene.user(Role.TRAINER)
    client_id = await scene.client(owner)
    plan_id = await scene.plan(trainer, clients=[client_id])
    await scene.do(UnpinPlan(client_id, plan_id), owner)
    assert scene.rows("clients_training_plan") == []
    with pytest.raises(PlanNotPinned):
        await scene.do(UnpinPlan(client_id, plan_id), trainer)
    with pytest.raises(NotFound, match=rf"^There is no training plan {plan_id}\.$"):
        await scene.do(UnpinPlan(client_id, plan_id), owner)


async def test_trainings_and_clients_leave_a_deleted_plan(scene: Scene) -> None:
    owner = await scene.user()
    client_id = await scene.client(owner)
    plan_id = await scene.plan(owner, await scene.training(client_id), clients=[client_id])
    head = scene.head
    await scene.do(DeletePlan(plan_id), owner)
    assert [what for _, what in scene.since(head)] == [
        "training-plan.training-removed",
        "training-plan.unpinned-from-client",
        "training-plan.deleted",
    ]
    for table in ("training_plans", "training_plan_trainings", "clients_training_plan"):
        assert scene.rows(table) == []


# --- a plan's trainings on days ----------------------------------------------------------------


def onto_days(plan_id: int, client_id: int, *days: tuple[int, str]) -> SchedulePlan:
    named = [{"training_id": training_id, "date": date} for training_id, date in days]
    body = ScheduleBody.model_validate({"client_id": client_id, "trainings": named})
    return SchedulePlan(plan_id, body)


async def test_a_client_is_given_the_trainings_of_a_plan_each_on_its_days(scene: Scene) -> None:
    trainer, exercise_id = await scene.user(Role.TRAINER), await scene.exercise()
    model, client_id = await scene.client(), await scene.client()
    legs, arms = await scene.training(model, exercise_id), await scene.training(model)
    plan_id = await scene.plan(trainer, legs, arms)
    head = scene.head
    days = [(legs, "2026-04-01"), (arms, "2026-04-03"), (legs, "2026-04-08")]
    shown = await scene.body(onto_days(plan_id, client_id, *days), trainer)
    assert (shown["training_plan_id"], shown["client_id"]) == (plan_id, client_id)
    given = [(t["client_id"], t["date"], t["exercise_ids"]) for t in shown["trainings"]]
    assert given == [
        (client_id, "2026-04-01", [exercise_id]),
        (client_id, "2026-04-03", []),
        (client_id, "2026-04-08", [exercise_id]),
    ]
    assert [t["id"] for t in shown["trainings"]] == [3, 4, 5]
    assert len({submission.command_id for _, submission in scene.ledger.log[head:]}) == 1
    in_plan = [row["training_id"] for row in scene.rows("training_plan_trainings")]
    assert sorted(in_plan) == [legs, arms]


async def test_of_a_schedule_all_trainings_are_given_or_none(scene: Scene) -> None:
    client_id = await scene.client()
    legs, outside = await scene.training(client_id), await scene.training(client_id)
    plan_id = await scene.plan(await scene.user(), legs)
    head = scene.head
    for number in (outside, 99):
        days = [(legs, "2026-04-01"), (number, "2026-04-03")]
        with pytest.raises(UnknownReference) as refused:
            await scene.do(onto_days(plan_id, client_id, *days))
        assert refused.value.field == "trainings"
    assert scene.head == head


@pytest.mark.parametrize("status", ["ON_HOLD", "CANCELLED"])
async def test_a_client_who_does_not_come_is_not_put_onto_days(scene: Scene, status: str) -> None:
    client_id = await scene.client()
    legs = await scene.training(client_id)
    plan_id = await scene.plan(await scene.user(), legs)
    await scene.do(ChangeClient(client_id, {"status": status}))
    with pytest.raises(ClientNotTraining):
        await scene.do(onto_days(plan_id, client_id, (legs, "2026-04-01")))


async def test_a_member_schedules_their_own_plan_for_themselves_alone(scene: Scene) -> None:
    owner, other = await scene.user(), await scene.client()
    client_id = await scene.client(owner)
    legs, others = await scene.training(client_id), await scene.training(other)
    plan_id = await scene.plan(owner, legs, others)
    await scene.do(onto_days(plan_id, client_id, (legs, "2026-04-01")), owner)
    for somebody, training_id in ((other, legs), (client_id, others)):
        with pytest.raises(UnknownReference):
            await scene.do(onto_days(plan_id, somebody, (training_id, "2026-04-01")), owner)
    with pytest.raises(NotFound):
        await scene.do(
            onto_days(await scene.plan(await scene.user(), legs), client_id, (legs, "2026-04-01")),
            owner,
        )


@pytest.mark.parametrize("number", [0, MOST_DAYS + 1])
def test_a_schedule_has_some_days_and_not_too_many(number: int) -> None:
    with pytest.raises(ValidationError):
        onto_days(1, 1, *[(1, "2026-04-01")] * number)
    onto_days(1, 1, *[(1, "2026-04-01")] * MOST_DAYS)
