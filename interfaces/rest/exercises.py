"""Routes of the catalogue of exercises."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Response

from application.access import Permission
from application.exercises import (
    AddExercise,
    ChangeExercise,
    DeleteExercise,
    ExerciseBody,
    ExerciseChanges,
)
from application.ports.queries import View
from domain.exercises import Exercise
from domain.values import Complexity, MuscleGroup
from interfaces.rest.asking import Asking, may
from interfaces.rest.documented import changes, creates, deletes, group, lists, shows
from interfaces.rest.lists import ListQuery, PathNumber, sorting, words
from projections.exercises import LISTING

routes = group("/exercises", "Exercises")


class ExerciseShown(ExerciseBody):
    """An exercise."""

    id: int


class ExercisesQuery(ListQuery):
    """Which exercises."""

    title: str | None = words(50)
    muscle_group: MuscleGroup | None = None
    equipment_required: bool | None = None
    complexity_lvl: Complexity | None = None
    sort: str | None = sorting(LISTING)


@routes.get("/", responses=lists(ExerciseShown))
async def list_exercises(
    asking: Annotated[Asking, may(Permission.EXERCISES_READ)],
    query: Annotated[ExercisesQuery, Query()],
) -> Response:
    """Retrieve the catalogue."""
    return await asking.page(View.EXERCISES, query)


@routes.get("/{exercise_id}/", responses=shows(ExerciseShown))
async def read_exercise(
    exercise_id: PathNumber, asking: Annotated[Asking, may(Permission.EXERCISES_READ)]
) -> Response:
    """Retrieve the exercise by ID."""
    return await asking.one(Exercise, View.EXERCISES, exercise_id)


@routes.post("/", status_code=201, responses=creates(ExerciseShown))
async def add_exercise(
    body: ExerciseBody, asking: Annotated[Asking, may(Permission.EXERCISES_KEEP)]
) -> Response:
    """Create the exercise."""
    return await asking.create(AddExercise(body), "/exercises/{id}/")


@routes.put("/{exercise_id}/", responses=changes(ExerciseShown))
async def replace_exercise(
    exercise_id: PathNumber,
    body: ExerciseBody,
    asking: Annotated[Asking, may(Permission.EXERCISES_KEEP)],
) -> Response:
    """Complete update of the exercise record."""
    return await asking.change(ChangeExercise(exercise_id, body.facts()))


@routes.patch("/{exercise_id}/", responses=changes(ExerciseShown))
async def change_exercise(
    exercise_id: PathNumber,
    body: ExerciseChanges,
    asking: Annotated[Asking, may(Permission.EXERCISES_KEEP)],
) -> Response:
    """Partial update of the exercise record."""
    return await asking.change(ChangeExercise(exercise_id, body.named()))


@routes.delete("/{exercise_id}/", status_code=204, responses=deletes())
async def delete_exercise(
    exercise_id: PathNumber, asking: Annotated[Asking, may(Permission.EXERCISES_DELETE)]
) -> Response:
    """Delete the exercise, and take it out of every training."""
    return await asking.delete(DeleteExercise(exercise_id))
