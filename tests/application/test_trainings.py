"""Commands about trainings and the exercises in them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from application.access import THE_CLUB
from application.bus import Bus
from application.clients import ChangeClient, DeleteClient
from application.command import Context
from application.exercises import DeleteExercise
from application.trainings import (
    AddExerciseToTraining,
    ChangeExerciseInTraining,
    ChangeTraining,
    CopyBody,
    CopyTraining,
    Doing,
    DoingChanges,
    PlanTraining,
    RemoveExerciseFromTraining,
    TrainingBody,
    TrainingChanges,
    TrainingExerciseBody,
    TrainingWithExercises,
)
from domain.refusals import NotFound, UnknownReference
from domain.trainings import ClientNotTraining, ExerciseInTraining, ExerciseNotInTraining
from domain.values import ClientStatus
from tests.application.scene import Scene, pausing_scene

LEGS: dict[str, Any] = {
    "training_type": "STRENGTH",
    "title": "Legs",
    "intensity": "HIGH",
    "duration_min": 60,
    "date": "2026-02-01",
    "description": "Slowly.",
}


def adding(training_id: int, exercise_id: int, **doing: Any) -> AddExerciseToTraining:
    facts = {"order_in_training": 1, **doing}
    return AddExerciseToTraining(
        TrainingExerciseBody(training_id=training_id, exercise_id=exercise_id, **facts)
    )


async def test_a_training_is_shown_as_it_was_planned(scene: Scene) -> None:
    client_id = await scene.client()
    body = await scene.body(PlanTraining(TrainingBody(client_id=client_id, **LEGS)))
    assert body == {"id": 1, "client_id": client_id, **LEGS}


async def test_a_training_with_exercises_holds_them_in_order_with_their_defaults(
    scene: Scene,
) -> None:
    client_id = await scene.client()
    squat, lunge = await scene.exercise("Squat"), await scene.exercise("Lunge")
    planned = TrainingWithExercises(client_id=client_id, exercise_ids=[lunge, squat], **LEGS)
    body = await scene.body(PlanTraining(planned))
    assert body["exercise_ids"] == [lunge, squat]
    rest = {"sets": 3, "reps": 10, "rest_time_sec": 60, "extra_weight": None}
    assert scene.rows("trainings_exercises") == [
        {"training_id": 1, "exercise_id": n, "order_in_training": order, **rest}
        for order, n in enumerate([lunge, squat], start=1)
    ]


async def test_a_training_with_an_unknown_exercise_is_not_planned_at_all(scene: Scene) -> None:
    client_id, squat = await scene.client(), await scene.exercise()
    with pytest.raises(UnknownReference, match=r"^There is no exercise 999 ") as refused:
        await scene.training(client_id, squat, 999)
    assert refused.value.field == "exercise_ids"
    assert scene.rows("trainings") == []


@pytest.mark.parametrize("status", ClientStatus)
async def test_a_client_on_hold_or_cancelled_is_not_given_a_training(
    scene: Scene, status: ClientStatus
) -> None:
    stopped, other = await scene.client(status=status), await scene.client()
    training_id = await scene.training(other)
    if status not in {ClientStatus.ON_HOLD, ClientStatus.CANCELLED}:
        await scene.training(stopped)
        await scene.do(ChangeTraining(training_id, {"client_id": stopped}))
        assert {row["client_id"] for row in scene.rows("trainings")} == {stopped}
        return
    with pytest.raises(ClientNotTraining, match=rf"^A client who is {status} cannot") as refused:
        await scene.training(stopped)
    assert refused.value.field == "client_id"
    with pytest.raises(ClientNotTraining):
        await scene.do(ChangeTraining(training_id, {"client_id": stopped}))


async def test_the_trainings_of_a_client_on_hold_can_still_be_changed(scene: Scene) -> None:
    client_id = await scene.client()
    training_id = await scene.training(client_id)
    await scene.do(ChangeClient(client_id, {"status": "ON_HOLD"}))
    whole = TrainingBody(client_id=client_id, title="Rest")
    body = await scene.body(ChangeTraining(training_id, whole.facts()))
    assert body["title"] == "Rest"


@pytest.mark.parametrize("gone", [False, True])
async def test_a_client_who_is_not_there_is_not_given_a_training(scene: Scene, gone: bool) -> None:
    number = await scene.client() if gone else 999
    training_id = await scene.training(await scene.client())
    if gone:
        await scene.do(DeleteClient(number))
    with pytest.raises(UnknownReference):
        await scene.training(number)
    with pytest.raises(UnknownReference):
        await scene.do(ChangeTraining(training_id, {"client_id": number}))


async def test_a_complete_update_replaces_everything_but_the_exercises(scene: Scene) -> None:
    client_id, squat = await scene.client(), await scene.exercise()
    planned = TrainingWithExercises(client_id=client_id, exercise_ids=[squat], **LEGS)
    await scene.do(PlanTraining(planned))
    whole = TrainingBody(client_id=client_id, title="Arms")
    body = await scene.body(ChangeTraining(1, whole.facts()))
    assert body == {
        "id": 1,
        "client_id": client_id,
        "training_type": None,
        "title": "Arms",
        "intensity": None,
        "duration_min": 45,
        "date": None,
        "description": None,
    }
    assert len(scene.rows("trainings_exercises")) == 1


async def test_a_partial_update_leaves_the_rest(scene: Scene) -> None:
    client_id = await scene.client()
    await scene.do(PlanTraining(TrainingBody(client_id=client_id, **LEGS)))
    changes = TrainingChanges.model_validate({"date": None})
    body = await scene.body(ChangeTraining(1, changes.named()))
    assert body == {"id": 1, "client_id": client_id, **LEGS, "date": None}


async def test_an_exercise_is_added_as_it_is_to_be_done(scene: Scene) -> None:
    training_id = await scene.training(await scene.client())
    body = await scene.body(adding(training_id, await scene.exercise(), extra_weight="20"))
    assert body == {
        "training_id": training_id,
        "exercise_id": 1,
        "order_in_training": 1,
        "sets": 3,
        "reps": 10,
        "rest_time_sec": 60,
        "extra_weight": "20.00",
    }


async def test_an_exercise_is_added_once_and_only_from_the_catalogue(scene: Scene) -> None:
    squat = await scene.exercise()
    training_id = await scene.training(await scene.client(), squat)
    with pytest.raises(ExerciseInTraining):
        await scene.do(adding(training_id, squat))
    with pytest.raises(UnknownReference) as refused:
        await scene.do(adding(training_id, 999))
    assert refused.value.field == "exercise_id"
    with pytest.raises(UnknownReference) as refused:
        await scene.do(adding(999, squat))
    assert refused.value.field == "training_id"
    await scene.do(DeleteExercise(squat))
    with pytest.raises(UnknownReference):
        await scene.do(adding(training_id, squat))


async def test_how_an_exercise_is_done_is_replaced_or_changed(scene: Scene) -> None:
    squat = await scene.exercise()
    training_id = await scene.training(await scene.client())
    await scene.do(adding(training_id, squat, sets=5, extra_weight="20"))
    changes = DoingChanges.model_validate({"extra_weight": None, "reps": 1})
    key = {"training_id": training_id, "exercise_id": squat}
    body = await scene.body(ChangeExerciseInTraining(training_id, squat, changes.named()))
    assert body == {
        **key,
        "order_in_training": 1,
        "sets": 5,
        "reps": 1,
        "rest_time_sec": 60,
        "extra_weight": None,
    }
    whole = Doing(order_in_training=2)
    body = await scene.body(ChangeExerciseInTraining(training_id, squat, whole.facts()))
    assert body == {**key, **whole.facts()}
    assert body["sets"] == 3


async def test_an_exercise_that_is_not_in_the_training_is_not_found(scene: Scene) -> None:
    squat = await scene.exercise()
    training_id = await scene.training(await scene.client())
    commands = [
        ChangeExerciseInTraining(training_id, squat, {"reps": 1}),
        RemoveExerciseFromTraining(training_id, squat),
    ]
    for command in commands:
        with pytest.raises(ExerciseNotInTraining):
            await scene.do(command, versions={999})
    with pytest.raises(NotFound, match=r"^There is no training 999\.$"):
        await scene.do(RemoveExerciseFromTraining(999, squat))


# --- copies ------------------------------------------------------------------------------------


def copying(training_id: int, **facts: Any) -> CopyTraining:
    return CopyTraining(training_id, CopyBody(**{"date": "2026-04-01", **facts}))


async def test_a_training_is_done_again_on_another_day(scene: Scene) -> None:
    client_id, exercise_id = await scene.client(), await scene.exercise()
    planned = TrainingBody(client_id=client_id, **LEGS)
    training_id = await scene.made(PlanTraining(planned))
    await scene.do(adding(training_id, exercise_id, sets=5, reps=5, extra_weight="20.00"))
    copy = await scene.body(copying(training_id))
    assert copy == {
        "id": 2,
        "client_id": client_id,
        **LEGS,
        "date": "2026-04-01",
        "exercise_ids": [exercise_id],
    }
    first, second = scene.rows("trainings_exercises")
    assert second == first | {"training_id": 2}
    assert scene.row("trainings", training_id)["date"] == "2026-02-01"


async def test_a_training_is_copied_for_another_client(scene: Scene) -> None:
    training_id, other = await scene.training(await scene.client()), await scene.client()
    copy = await scene.body(copying(training_id, client_id=other))
    assert copy["client_id"] == other


@pytest.mark.parametrize("status", [ClientStatus.ON_HOLD, ClientStatus.CANCELLED])
async def test_a_client_who_does_not_come_is_given_no_copy(
    scene: Scene, status: ClientStatus
) -> None:
    client_id, other = await scene.client(), await scene.client()
    training_id = await scene.training(client_id)
    await scene.do(ChangeClient(client_id, {"status": status.value}))
    head = scene.head
    for copy in (copying(training_id), copying(training_id, client_id=client_id)):
        with pytest.raises(ClientNotTraining):
            await scene.do(copy)
    assert scene.head == head
    await scene.do(copying(training_id, client_id=other))


async def test_a_copy_is_not_given_to_somebody_elses_client(scene: Scene) -> None:
    owner, others = await scene.user(), await scene.client()
    training_id = await scene.training(await scene.client(owner))
    for client_id in (others, 99):
        with pytest.raises(UnknownReference) as refused:
            await scene.do(copying(training_id, client_id=client_id), owner)
        assert refused.value.field == "client_id"


async def test_a_copy_made_while_its_exercise_goes_does_not_hold_it() -> None:
    scene = pausing_scene()
    exercise_id = await scene.exercise()
    training_id = await scene.training(await scene.client(), exercise_id)
    await asyncio.gather(
        *(
            Bus(scene.services).execute(command, Context(THE_CLUB, "scene"))
            for command in (copying(training_id), DeleteExercise(exercise_id), copying(training_id))
        )
    )
    assert len(scene.rows("trainings")) == 3
    assert scene.rows("trainings_exercises") == []
