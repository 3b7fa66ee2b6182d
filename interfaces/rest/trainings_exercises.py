"""Routes of the exercises in trainings.

The key is the training and the exercise. Where the documented path names only the exercise,
`?training_id=` says which training; without it there must be exactly one in the caller's reach.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Query, Response

from application.access import Permission
from application.fields import LARGEST_ID
from application.ports.queries import Lookup, View
from application.trainings import (
    AddExerciseToTraining,
    ChangeExerciseInTraining,
    Doing,
    DoingChanges,
    RemoveExerciseFromTraining,
    TrainingExerciseBody,
)
from domain.refusals import Conflict
from domain.trainings import ExerciseNotInTraining, Training
from interfaces.rest.asking import Asking, may
from interfaces.rest.documented import changes, creates, deletes, group, lists, shows
from interfaces.rest.lists import ListQuery, Number, PathNumber, sorting
from projections.trainings import EXERCISES_LISTING

routes = group("/trainings-exercises", "Trainings-exercises")
Keeping = Annotated[Asking, may(Permission.TRAININGS_KEEP)]


class WhichTraining(Conflict):
    """Exercise {exercise_id} is in several trainings: say which, with ?training_id=."""


class TrainingsExercisesQuery(ListQuery):
    """Which exercises in which trainings."""

    training_id: Number | None = None
    exercise_id: Number | None = None
    sort: str | None = sorting(EXERCISES_LISTING)


async def _which_training(
    exercise_id: PathNumber,
    asking: Keeping,
    training_id: Annotated[
        int | None, Query(ge=1, le=LARGEST_ID, description="which training")
    ] = None,
) -> int:
    """The training that the request means."""
    if training_id is not None:
        return training_id
    owner = None if asking.everybody else asking.caller.user_id
    found = await asking.service.reads.find(Lookup.TRAININGS_HOLDING, exercise_id, owner)
    if not found:
        raise ExerciseNotInTraining(exercise_id=exercise_id)
    if len(found) > 1:
        raise WhichTraining(field="training_id", exercise_id=exercise_id)
    return found[0]


Named = Annotated[int, Depends(_which_training)]


@routes.get("/", responses=lists(TrainingExerciseBody))
async def list_trainings_exercises(
    asking: Annotated[Asking, may(Permission.TRAININGS_LIST)],
    query: Annotated[TrainingsExercisesQuery, Query()],
) -> Response:
    """Retrieve training-exercise records."""
    return await asking.page(View.EXERCISES_OF_TRAININGS, query)


@routes.get("/{training_id}/{exercise_id}/", responses=shows(TrainingExerciseBody))
async def read_training_exercise(
    training_id: PathNumber,
    exercise_id: PathNumber,
    asking: Annotated[Asking, may(Permission.TRAININGS_READ)],
) -> Response:
    """Retrieve the training-exercise record."""
    return await asking.one(Training, View.EXERCISES_OF_TRAININGS, training_id, exercise_id)


@routes.post("/", status_code=201, responses=creates(TrainingExerciseBody))
async def add_training_exercise(body: TrainingExerciseBody, asking: Keeping) -> Response:
    """Create the training-exercise record."""
    return await asking.create(
        AddExerciseToTraining(body), "/trainings-exercises/{training_id}/{exercise_id}/"
    )


@routes.put("/{exercise_id}/", responses=changes(TrainingExerciseBody))
async def replace_training_exercise(
    exercise_id: PathNumber, body: Doing, training_id: Named, asking: Keeping
) -> Response:
    """Complete update of the training-exercise record."""
    return await asking.change(ChangeExerciseInTraining(training_id, exercise_id, body.facts()))


@routes.put("/{training_id}/{exercise_id}/", responses=changes(TrainingExerciseBody))
async def replace_exercise_of_training(
    training_id: PathNumber, exercise_id: PathNumber, body: Doing, asking: Keeping
) -> Response:
    """Complete update of the training-exercise record."""
    return await asking.change(ChangeExerciseInTraining(training_id, exercise_id, body.facts()))


@routes.patch("/{exercise_id}/", responses=changes(TrainingExerciseBody))
async def change_training_exercise(
    exercise_id: PathNumber, body: DoingChanges, training_id: Named, asking: Keeping
) -> Response:
    """Partial update of the training-exercise record."""
    return await asking.change(ChangeExerciseInTraining(training_id, exercise_id, body.named()))


@routes.patch("/{training_id}/{exercise_id}/", responses=changes(TrainingExerciseBody))
async def change_exercise_of_training(
    training_id: PathNumber, exercise_id: PathNumber, body: DoingChanges, asking: Keeping
) -> Response:
    """Partial update of the training-exercise record."""
    return await asking.change(ChangeExerciseInTraining(training_id, exercise_id, body.named()))


@routes.delete("/{exercise_id}/", status_code=204, responses=deletes())
async def remove_training_exercise(
    exercise_id: PathNumber, training_id: Named, asking: Keeping
) -> Response:
    """Delete the training-exercise record."""
    return await asking.delete(RemoveExerciseFromTraining(training_id, exercise_id))


@routes.delete("/{training_id}/{exercise_id}/", status_code=204, responses=deletes())
async def remove_exercise_of_training(
    training_id: PathNumber, exercise_id: PathNumber, asking: Keeping
) -> Response:
    """Delete the training-exercise record."""
    return await asking.delete(RemoveExerciseFromTraining(training_id, exercise_id))
