"""Routes of trainings."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Response
from pydantic import Field

from application.access import Permission
from application.fields import Day
from application.ports.queries import View
from application.trainings import (
    ChangeTraining,
    DeleteTraining,
    PlanTraining,
    TrainingBody,
    TrainingChanges,
    TrainingWithExercises,
)
from domain.trainings import Training
from domain.values import Intensity, TrainingType
from interfaces.rest.asking import Asking, may
from interfaces.rest.documented import changes, creates, deletes, group, lists, shows
from interfaces.rest.lists import ListQuery, Number, PathNumber, sorting, words
from projections.trainings import LISTING

routes = group("/trainings", "Trainings")


class TrainingShown(TrainingBody):
    """A training."""

    id: int


class TrainingWithExercisesShown(TrainingShown):
    """A training, with its exercises in order."""

    exercise_ids: list[int]


class TrainingsQuery(ListQuery):
    """Which trainings."""

    client_id: Number | None = None
    training_type: TrainingType | None = None
    title: str | None = words(200)
    intensity: Intensity | None = None
    duration_min: Annotated[int, Field(ge=1, le=1440)] | None = None
    date: Day | None = None
    sort: str | None = sorting(LISTING)


@routes.get("/", responses=lists(TrainingShown))
async def list_trainings(
    asking: Annotated[Asking, may(Permission.TRAININGS_LIST)],
    query: Annotated[TrainingsQuery, Query()],
) -> Response:
    """Retrieve the list of trainings."""
    return await asking.page(View.TRAININGS, query)


@routes.get("/exercise-ids/{train_id}/", include_in_schema=False)
@routes.get("/exercice-ids/{train_id}/", responses=shows(TrainingWithExercisesShown))
async def read_training_with_exercises(
    train_id: PathNumber, asking: Annotated[Asking, may(Permission.TRAININGS_READ)]
) -> Response:
    """Retrieve the training with exercise IDs."""
    return await asking.one(Training, View.TRAININGS_WITH_EXERCISE_IDS, train_id)


@routes.get("/{train_id}/", responses=shows(TrainingShown))
async def read_training(
    train_id: PathNumber, asking: Annotated[Asking, may(Permission.TRAININGS_READ)]
) -> Response:
    """Retrieve the training by ID."""
    return await asking.one(Training, View.TRAININGS, train_id)


@routes.post("/", status_code=201, responses=creates(TrainingShown))
async def plan_training(
    body: TrainingBody, asking: Annotated[Asking, may(Permission.TRAININGS_KEEP)]
) -> Response:
    """Create the training."""
    return await asking.create(PlanTraining(body), "/trainings/{id}/")


@routes.post("/exercise-ids/", status_code=201, include_in_schema=False)
@routes.post("/exercice-ids/", status_code=201, responses=creates(TrainingWithExercisesShown))
async def plan_training_with_exercises(
    body: TrainingWithExercises, asking: Annotated[Asking, may(Permission.TRAININGS_KEEP)]
) -> Response:
    """Create the training with indicated exercises."""
    return await asking.create(PlanTraining(body), "/trainings/exercice-ids/{id}/")


@routes.put("/{train_id}/", responses=changes(TrainingShown))
async def replace_training(
    train_id: PathNumber,
    body: TrainingBody,
    asking: Annotated[Asking, may(Permission.TRAININGS_KEEP)],
) -> Response:
    """Complete update of the training record."""
    return await asking.change(ChangeTraining(train_id, body.facts()))


@routes.patch("/{train_id}/", responses=changes(TrainingShown))
async def change_training(
    train_id: PathNumber,
    body: TrainingChanges,
    asking: Annotated[Asking, may(Permission.TRAININGS_KEEP)],
) -> Response:
    """Partial update of the training record."""
    return await asking.change(ChangeTraining(train_id, body.named()))


@routes.delete("/{train_id}/", status_code=204, responses=deletes())
async def delete_training(
    train_id: PathNumber, asking: Annotated[Asking, may(Permission.TRAININGS_KEEP)]
) -> Response:
    """Delete the training."""
    return await asking.delete(DeleteTraining(train_id))
