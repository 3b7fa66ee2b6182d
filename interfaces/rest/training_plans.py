"""Routes of training plans, and of the trainings in them."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Response

from application.access import Permission
from application.fields import Id, Moment
from application.ports.queries import Lookup, View
from application.training_plans import (
    AddTrainingToPlan,
    ChangePlan,
    DeletePlan,
    DrawUpPlan,
    RemoveTrainingFromPlan,
    TrainingInPlanBody,
    TrainingPlanBody,
    TrainingPlanChanges,
)
from domain.training_plans import TrainingPlan
from domain.values import PlanStatus
from interfaces.rest.asking import Asking, may
from interfaces.rest.documented import changes, creates, deletes, group, lists, shows
from interfaces.rest.lists import ListQuery, Number, PathNumber, sorting, words
from projections.training_plans import LISTING, TRAININGS_LISTING

routes = group("/training-plans", "Training plans")
Reading = Annotated[Asking, may(Permission.TRAINING_PLANS_READ)]
Keeping = Annotated[Asking, may(Permission.TRAINING_PLANS_KEEP)]


class TrainingPlanShown(TrainingPlanBody):
    """A plan."""

    id: int
    created_at: Moment


class TrainingInPlanShown(TrainingInPlanBody):
    """A training in a plan."""

    training_plan_id: Id


class TrainingPlansQuery(ListQuery):
    """Which plans."""

    user_id: Number | None = None
    title: str | None = words(200)
    status: PlanStatus | None = None
    sort: str | None = sorting(LISTING)


class TrainingsInPlanQuery(ListQuery):
    """Which trainings of the plan."""

    training_id: Number | None = None
    sort: str | None = sorting(TRAININGS_LISTING)


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
    asking: Annotated[Asking, may(Permission.TRAINING_PLANS_LIST)],
    query: Annotated[TrainingPlansQuery, Query()],
) -> Response:
    """Retrieve the list of training plans."""
    return await asking.page(View.TRAINING_PLANS, query)


@routes.get("/{training_plan_id}/", responses=shows(TrainingPlanShown))
async def read_training_plan(training_plan_id: PathNumber, asking: Reading) -> Response:
    """Retrieve the training plan by ID."""
    asking = await _readable(training_plan_id, asking)
    return await asking.one(TrainingPlan, View.TRAINING_PLANS, training_plan_id)


@routes.post("/", status_code=201, responses=creates(TrainingPlanShown))
async def draw_up_training_plan(body: TrainingPlanBody, asking: Keeping) -> Response:
    """Create the training plan."""
    return await asking.create(DrawUpPlan(body), "/training-plans/{id}/")


@routes.put("/{training_plan_id}/", responses=changes(TrainingPlanShown))
async def replace_training_plan(
    training_plan_id: PathNumber, body: TrainingPlanBody, asking: Keeping
) -> Response:
    """Complete update of the training plan record."""
    return await asking.change(ChangePlan(training_plan_id, body.replacement()))


@routes.patch("/{training_plan_id}/", responses=changes(TrainingPlanShown))
async def change_training_plan(
    training_plan_id: PathNumber, body: TrainingPlanChanges, asking: Keeping
) -> Response:
    """Partial update of the training plan record."""
    return await asking.change(ChangePlan(training_plan_id, body.named()))


@routes.delete("/{training_plan_id}/", status_code=204, responses=deletes())
async def delete_training_plan(training_plan_id: PathNumber, asking: Keeping) -> Response:
    """Delete the training plan."""
    return await asking.delete(DeletePlan(training_plan_id))


@routes.get("/{training_plan_id}/trainings/", responses=lists(TrainingInPlanShown))
async def list_trainings_in_plan(
    training_plan_id: PathNumber, asking: Reading, query: Annotated[TrainingsInPlanQuery, Query()]
) -> Response:
    """Retrieve the trainings in the plan."""
    asking = await _readable(training_plan_id, asking)
    await asking.one(TrainingPlan, View.TRAINING_PLANS, training_plan_id)
    filters = query.filters() | {"training_plan_id": training_plan_id}
    return await asking.page(View.TRAININGS_OF_PLANS, query, filters)


@routes.post(
    "/{training_plan_id}/trainings/", status_code=201, responses=creates(TrainingInPlanShown)
)
async def add_training_to_plan(
    training_plan_id: PathNumber, body: TrainingInPlanBody, asking: Keeping
) -> Response:
    """Make a training part of the plan."""
    return await asking.create(
        AddTrainingToPlan(training_plan_id, body),
        "/training-plans/{training_plan_id}/trainings/",
    )


@routes.delete("/{training_plan_id}/trainings/{training_id}/", status_code=204, responses=deletes())
async def remove_training_from_plan(
    training_plan_id: PathNumber, training_id: PathNumber, asking: Keeping
) -> Response:
    """Take a training out of the plan."""
    return await asking.delete(RemoveTrainingFromPlan(training_plan_id, training_id))
