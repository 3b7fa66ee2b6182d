"""Routes of trainings."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Response
from pydantic import Field

from application.exercises import ExerciseBody
from application.fields import Day, Id, SentBack
from application.trainings import (
    CopyBody,
    Doing,
    TrainingBody,
    TrainingChanges,
    TrainingWithExercises,
)
from domain.values import Intensity, MuscleGroup, TrainingType
from interfaces.rest.asking import Asking
from interfaces.rest.documented import changes, creates, deletes, group, lists, shows
from interfaces.rest.door import asks
from interfaces.rest.lists import Digits, ListQuery, Number, PathNumber, not_before, sorting, words

routes = group("/trainings", "Trainings")


class TrainingShown(TrainingBody):
    """A training."""

    id: int


class TrainingSentBack(TrainingBody):
    """A complete update of a training, as a GET answered it."""

    id: SentBack[Id] = None


class TrainingWithExercisesShown(TrainingShown):
    """A training, with its exercises in order."""

    exercise_ids: list[int]


class TrainingsOfClientQuery(ListQuery):
    """Which trainings of a client."""

    training_type: TrainingType | None = None
    title: str | None = words(200)
    title_contains: str | None = words(200)
    intensity: Intensity | None = None
    duration_min: Annotated[int, Digits, Field(ge=1, le=1440)] | None = None
    date: Day | None = None
    from_date: Day | None = Field(default=None, description="the first day")
    to_date: Annotated[Day | None, not_before("from_date")] = Field(
        default=None, description="the last day"
    )
    sort: str | None = sorting("list-trainings-of-client")


class TrainingsQuery(TrainingsOfClientQuery):
    """Which trainings."""

    client_id: Number | None = None
    sort: str | None = sorting("list-trainings")


class ExerciseOfTrainingShown(ExerciseBody, Doing):
    """An exercise, and how it is done in a training."""

    training_id: Id
    exercise_id: Id


class ExercisesOfTrainingQuery(ListQuery):
    """Which exercises of the training; in its own order, unless another is asked for."""

    exercise_id: Number | None = None
    muscle_group: MuscleGroup | None = None
    sort: str | None = sorting("list-exercises-of-training")

    def order(self) -> str:
        return self.sort or "order_in_training"


@routes.get("/", responses=lists(TrainingShown))
async def list_trainings(
    asking: Annotated[Asking, asks("list-trainings")], query: Annotated[TrainingsQuery, Query()]
) -> Response:
    """Retrieve the list of trainings."""
    return await asking.page(query)


@routes.get("/exercise-ids/{train_id}/", include_in_schema=False)
@routes.get("/exercice-ids/{train_id}/", responses=shows(TrainingWithExercisesShown))
async def read_training_with_exercises(
    train_id: PathNumber, asking: Annotated[Asking, asks("read-training-with-exercises")]
) -> Response:
    """Retrieve the training with exercise IDs."""
    return await asking.one(train_id)


@routes.get("/{train_id}/", responses=shows(TrainingShown))
async def read_training(
    train_id: PathNumber, asking: Annotated[Asking, asks("read-training")]
) -> Response:
    """Retrieve the training by ID."""
    return await asking.one(train_id)


@routes.post("/", status_code=201, responses=creates(TrainingShown))
async def plan_training(
    body: TrainingBody, asking: Annotated[Asking, asks("plan-training")]
) -> Response:
    """Create the training."""
    return await asking.create(body, location="/trainings/{id}/")


@routes.post("/exercise-ids/", status_code=201, include_in_schema=False)
@routes.post("/exercice-ids/", status_code=201, responses=creates(TrainingWithExercisesShown))
async def plan_training_with_exercises(
    body: TrainingWithExercises, asking: Annotated[Asking, asks("plan-training-with-exercises")]
) -> Response:
    """Create the training with indicated exercises."""
    return await asking.create(body, location="/trainings/exercice-ids/{id}/")


@routes.put("/{train_id}/", responses=changes(TrainingShown))
async def replace_training(
    train_id: PathNumber,
    body: TrainingSentBack,
    asking: Annotated[Asking, asks("replace-training")],
) -> Response:
    """Complete update of the training record."""
    return await asking.change(body, train_id)


@routes.patch("/{train_id}/", responses=changes(TrainingShown))
async def change_training(
    train_id: PathNumber, body: TrainingChanges, asking: Annotated[Asking, asks("change-training")]
) -> Response:
    """Partial update of the training record."""
    return await asking.change(body, train_id)


@routes.delete("/{train_id}/", status_code=204, responses=deletes())
async def delete_training(
    train_id: PathNumber, asking: Annotated[Asking, asks("delete-training")]
) -> Response:
    """Delete the training."""
    return await asking.delete(train_id)


@routes.get("/{training_id}/exercises/", responses=lists(ExerciseOfTrainingShown))
async def list_exercises_of_training(
    training_id: PathNumber,
    asking: Annotated[Asking, asks("list-exercises-of-training")],
    query: Annotated[ExercisesOfTrainingQuery, Query()],
) -> Response:
    """Retrieve the exercises of the training in full, in its order."""
    return await asking.page(query, training_id)


@routes.post(
    "/{training_id}/copies/", status_code=201, responses=creates(TrainingWithExercisesShown)
)
async def copy_training(
    training_id: PathNumber, body: CopyBody, asking: Annotated[Asking, asks("copy-training")]
) -> Response:
    """Give the client, or another, the same training on another day."""
    return await asking.create(body, training_id, location="/trainings/exercice-ids/{id}/")
