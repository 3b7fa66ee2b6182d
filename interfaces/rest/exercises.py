"""Routes of the catalogue of exercises."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Response

from application.exercises import ExerciseBody, ExerciseChanges
from application.fields import Id, SentBack
from domain.values import Complexity, MuscleGroup
from interfaces.rest.asking import Asking
from interfaces.rest.documented import changes, creates, deletes, group, lists, shows
from interfaces.rest.door import asks
from interfaces.rest.lists import ListQuery, PathNumber, Truth, sorting, words

routes = group("/exercises", "Exercises")


class ExerciseShown(ExerciseBody):
    """An exercise."""

    id: int


class ExerciseSentBack(ExerciseBody):
    """A complete update of an exercise, as a GET answered it."""

    id: SentBack[Id] = None


class ExercisesQuery(ListQuery):
    """Which exercises."""

    title: str | None = words(50)
    title_contains: str | None = words(50)
    muscle_group: MuscleGroup | None = None
    equipment_required: Truth | None = None
    complexity_lvl: Complexity | None = None
    sort: str | None = sorting("list-exercises")


@routes.get("/", responses=lists(ExerciseShown))
async def list_exercises(
    asking: Annotated[Asking, asks("list-exercises")], query: Annotated[ExercisesQuery, Query()]
) -> Response:
    """Retrieve the catalogue."""
    return await asking.page(query)


@routes.get("/{exercise_id}/", responses=shows(ExerciseShown))
async def read_exercise(
    exercise_id: PathNumber, asking: Annotated[Asking, asks("read-exercise")]
) -> Response:
    """Retrieve the exercise by ID."""
    return await asking.one(exercise_id)


@routes.post("/", status_code=201, responses=creates(ExerciseShown))
async def add_exercise(
    body: ExerciseBody, asking: Annotated[Asking, asks("add-exercise")]
) -> Response:
    """Create the exercise."""
    return await asking.create(body, location="/exercises/{id}/")


@routes.put("/{exercise_id}/", responses=changes(ExerciseShown))
async def replace_exercise(
    exercise_id: PathNumber,
    body: ExerciseSentBack,
    asking: Annotated[Asking, asks("replace-exercise")],
) -> Response:
    """Complete update of the exercise record."""
    return await asking.change(body, exercise_id)


@routes.patch("/{exercise_id}/", responses=changes(ExerciseShown))
async def change_exercise(
    exercise_id: PathNumber,
    body: ExerciseChanges,
    asking: Annotated[Asking, asks("change-exercise")],
) -> Response:
    """Partial update of the exercise record."""
    return await asking.change(body, exercise_id)


@routes.delete("/{exercise_id}/", status_code=204, responses=deletes())
async def delete_exercise(
    exercise_id: PathNumber, asking: Annotated[Asking, asks("delete-exercise")]
) -> Response:
    """Delete the exercise, and take it out of every training."""
    return await asking.delete(exercise_id)
