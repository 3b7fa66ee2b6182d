"""Routes of training plans, and of the trainings in them."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Response
from pydantic import BaseModel

from application.fields import Id, Moment, SentBack
from application.ports.queries import Lookup
from application.training_plans import (
    ScheduleBody,
    TrainingInPlanBody,
    TrainingPlanBody,
    TrainingPlanChanges,
)
from domain.values import PlanStatus
from interfaces.rest.asking import Asking
from interfaces.rest.documented import changes, creates, deletes, group, lists, shows
from interfaces.rest.door import asks
from interfaces.rest.lists import ListQuery, Number, PathNumber, sorting, words
from interfaces.rest.trainings import TrainingWithExercisesShown

routes = group("/training-plans", "Training plans")


class TrainingPlanShown(TrainingPlanBody):
    """A plan."""

    id: int
    created_at: Moment


class TrainingPlanSentBack(TrainingPlanBody):
    """A complete update of a plan, as a GET answered it."""

    id: SentBack[Id] = None
    created_at: SentBack[Moment] = None


class TrainingInPlanShown(TrainingInPlanBody):
    """A training in a plan."""

    training_plan_id: Id


class PlansOfUserQuery(ListQuery):
    """Which plans of a user."""

    title: str | None = words(200)
    title_contains: str | None = words(200)
    status: PlanStatus | None = None
    sort: str | None = sorting("list-plans-of-user")


class ScheduleShown(BaseModel):
    """The trainings that a client was given of a plan."""

    training_plan_id: Id
    client_id: Id
    trainings: list[TrainingWithExercisesShown]


class TrainingPlansQuery(PlansOfUserQuery):
    """Which plans."""

    user_id: Number | None = None
    sort: str | None = sorting("list-training-plans")


class TrainingsInPlanQuery(ListQuery):
    """Which trainings of the plan."""

    training_id: Number | None = None
    sort: str | None = sorting("list-trainings-in-plan")


async def _readable(training_plan_id: int, asking: Asking) -> Asking:
    """A plan is also read by those whose client follows it."""
    if not asking.everybody:
        await asking.wait_for_position()
        reads, user_id = asking.service.reads, asking.caller.user_id
        if await reads.find(Lookup.CLIENTS_FOLLOWING, training_plan_id, user_id):
            asking.everybody = True
    return asking


@routes.get("/", responses=lists(TrainingPlanShown))
async def list_training_plans(
    asking: Annotated[Asking, asks("list-training-plans")],
    query: Annotated[TrainingPlansQuery, Query()],
) -> Response:
    """Retrieve the list of training plans."""
    return await asking.page(query)


@routes.get("/{training_plan_id}/", responses=shows(TrainingPlanShown))
async def read_training_plan(
    training_plan_id: PathNumber, asking: Annotated[Asking, asks("read-training-plan")]
) -> Response:
    """Retrieve the training plan by ID."""
    asking = await _readable(training_plan_id, asking)
    return await asking.one(training_plan_id)


@routes.post("/", status_code=201, responses=creates(TrainingPlanShown))
async def draw_up_training_plan(
    body: TrainingPlanBody, asking: Annotated[Asking, asks("draw-up-training-plan")]
) -> Response:
    """Create the training plan."""
    return await asking.create(body, location="/training-plans/{id}/")


@routes.put("/{training_plan_id}/", responses=changes(TrainingPlanShown))
async def replace_training_plan(
    training_plan_id: PathNumber,
    body: TrainingPlanSentBack,
    asking: Annotated[Asking, asks("replace-training-plan")],
) -> Response:
    """Complete update of the training plan record."""
    return await asking.change(body, training_plan_id)


@routes.patch("/{training_plan_id}/", responses=changes(TrainingPlanShown))
async def change_training_plan(
    training_plan_id: PathNumber,
    body: TrainingPlanChanges,
    asking: Annotated[Asking, asks("change-training-plan")],
) -> Response:
    """Partial update of the training plan record."""
    return await asking.change(body, training_plan_id)


@routes.delete("/{training_plan_id}/", status_code=204, responses=deletes())
async def delete_training_plan(
    training_plan_id: PathNumber, asking: Annotated[Asking, asks("delete-training-plan")]
) -> Response:
    """Delete the training plan."""
    return await asking.delete(training_plan_id)


@routes.get("/{training_plan_id}/trainings/", responses=lists(TrainingInPlanShown))
async def list_trainings_in_plan(
    training_plan_id: PathNumber,
    asking: Annotated[Asking, asks("list-trainings-in-plan")],
    query: Annotated[TrainingsInPlanQuery, Query()],
) -> Response:
    """Retrieve the trainings in the plan."""
    asking = await _readable(training_plan_id, asking)
    return await asking.page(query, training_plan_id)


@routes.post(
    "/{training_plan_id}/trainings/", status_code=201, responses=creates(TrainingInPlanShown)
)
async def add_training_to_plan(
    training_plan_id: PathNumber,
    body: TrainingInPlanBody,
    asking: Annotated[Asking, asks("add-training-to-plan")],
) -> Response:
    """Make a training part of the plan."""
    return await asking.create(
        body, training_plan_id, location="/training-plans/{training_plan_id}/trainings/"
    )


@routes.post("/{training_plan_id}/schedules/", status_code=201, responses=creates(ScheduleShown))
async def schedule_plan(
    training_plan_id: PathNumber,
    body: ScheduleBody,
    asking: Annotated[Asking, asks("schedule-plan")],
) -> Response:
    """Give a client trainings of the plan, each on its day: all of them, or none."""
    return await asking.create(body, training_plan_id, location="/clients/{client_id}/trainings/")


@routes.delete("/{training_plan_id}/trainings/{training_id}/", status_code=204, responses=deletes())
async def remove_training_from_plan(
    training_plan_id: PathNumber,
    training_id: PathNumber,
    asking: Annotated[Asking, asks("remove-training-from-plan")],
) -> Response:
    """Take a training out of the plan."""
    return await asking.delete(training_plan_id, training_id)
