"""Routes of the exercises in trainings.

The key is the training and the exercise. Where the documented path names only the exercise,
`?training_id=` says which training; without it there must be exactly one in the caller's reach.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Query, Response

from application.fields import Id, SentBack
from application.ports.queries import Lookup
from application.trainings import Doing, DoingChanges, TrainingExerciseBody
from domain.refusals import Conflict
from domain.trainings import ExerciseNotInTraining
from interfaces.rest.asking import Asking
from interfaces.rest.documented import changes, creates, deletes, group, lists, shows
from interfaces.rest.door import asks
from interfaces.rest.lists import ListQuery, Number, PathNumber, sorting

routes = group("/trainings-exercises", "Trainings-exercises")


class WhichTraining(Conflict):
    """Exercise {exercise_id} is in several trainings: say which, with ?training_id=."""


class TrainingsExercisesQuery(ListQuery):
    """Which exercises in which trainings."""

    training_id: Number | None = None
    exercise_id: Number | None = None
    sort: str | None = sorting("list-trainings-exercises")


class DoingSentBack(Doing):
    """A complete update of an exercise of a training, as a GET answered it."""

    training_id: SentBack[Id] = None
    exercise_id: SentBack[Id] = None


def which_training(name: str) -> Any:
    """The training that the request means, whoever asks for `name`."""
    let_in = asks(name)

    async def found(
        exercise_id: PathNumber,
        asking: Asking = let_in,
        training_id: Annotated[Number | None, Query(description="which training")] = None,
    ) -> int:
        if training_id is not None:
            return training_id
        owner = None if asking.everybody else asking.caller.user_id
        numbers = await asking.service.reads.find(Lookup.TRAININGS_HOLDING, exercise_id, owner)
        if not numbers:
            raise ExerciseNotInTraining(exercise_id=exercise_id)
        if len(numbers) > 1:
            raise WhichTraining(field="training_id", exercise_id=exercise_id)
        return numbers[0]

    return Depends(found)


@routes.get("/", responses=lists(TrainingExerciseBody))
async def list_trainings_exercises(
    asking: Annotated[Asking, asks("list-trainings-exercises")],
    query: Annotated[TrainingsExercisesQuery, Query()],
) -> Response:
    """Retrieve training-exercise records."""
    return await asking.page(query)


@routes.get("/{training_id}/{exercise_id}/", responses=shows(TrainingExerciseBody))
async def read_training_exercise(
    training_id: PathNumber,
    exercise_id: PathNumber,
    asking: Annotated[Asking, asks("read-training-exercise")],
) -> Response:
    """Retrieve the training-exercise record."""
    return await asking.one(training_id, exercise_id)


@routes.post("/", status_code=201, responses=creates(TrainingExerciseBody))
async def add_training_exercise(
    body: TrainingExerciseBody, asking: Annotated[Asking, asks("add-training-exercise")]
) -> Response:
    """Create the training-exercise record."""
    return await asking.create(body, location="/trainings-exercises/{training_id}/{exercise_id}/")


@routes.put("/{exercise_id}/", responses=changes(TrainingExerciseBody))
async def replace_training_exercise(
    exercise_id: PathNumber,
    body: DoingSentBack,
    training_id: Annotated[int, which_training("replace-exercise-of-training")],
    asking: Annotated[Asking, asks("replace-exercise-of-training")],
) -> Response:
    """Complete update of the training-exercise record."""
    return await asking.change(body, training_id, exercise_id)


@routes.put("/{training_id}/{exercise_id}/", responses=changes(TrainingExerciseBody))
async def replace_exercise_of_training(
    training_id: PathNumber,
    exercise_id: PathNumber,
    body: DoingSentBack,
    asking: Annotated[Asking, asks("replace-exercise-of-training")],
) -> Response:
    """Complete update of the training-exercise record."""
    return await asking.change(body, training_id, exercise_id)


@routes.patch("/{exercise_id}/", responses=changes(TrainingExerciseBody))
async def change_training_exercise(
    exercise_id: PathNumber,
    body: DoingChanges,
    training_id: Annotated[int, which_training("change-exercise-of-training")],
    asking: Annotated[Asking, asks("change-exercise-of-training")],
) -> Response:
    """Partial update of the training-exercise record."""
    return await asking.change(body, training_id, exercise_id)


@routes.patch("/{training_id}/{exercise_id}/", responses=changes(TrainingExerciseBody))
async def change_exercise_of_training(
    training_id: PathNumber,
    exercise_id: PathNumber,
    body: DoingChanges,
    asking: Annotated[Asking, asks("change-exercise-of-training")],
) -> Response:
    """Partial update of the training-exercise record."""
    return await asking.change(body, training_id, exercise_id)


@routes.delete("/{exercise_id}/", status_code=204, responses=deletes())
async def remove_training_exercise(
    exercise_id: PathNumber,
    training_id: Annotated[int, which_training("remove-exercise-of-training")],
    asking: Annotated[Asking, asks("remove-exercise-of-training")],
) -> Response:
    """Delete the training-exercise record."""
    return await asking.delete(training_id, exercise_id)


@routes.delete("/{training_id}/{exercise_id}/", status_code=204, responses=deletes())
async def remove_exercise_of_training(
    training_id: PathNumber,
    exercise_id: PathNumber,
    asking: Annotated[Asking, asks("remove-exercise-of-training")],
) -> Response:
    """Delete the training-exercise record."""
    return await asking.delete(training_id, exercise_id)
