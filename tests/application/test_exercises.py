"""Commands about the catalogue of exercises."""

from __future__ import annotations

from typing import Any

import pytest

from application.exercises import (
    AddExercise,
    ChangeExercise,
    DeleteExercise,
    ExerciseBody,
    ExerciseChanges,
)
from domain.refusals import NotFound
from domain.reservations import ExerciseTitleTaken
from tests.application.scene import Scene

SQUAT: dict[str, Any] = {
    "title": "Squat",
    "description": "Down, and up again.",
    "muscle_group": "LEGS",
    "equipment_required": True,
    "complexity_lvl": "ADVANCED",
}


async def test_an_exercise_is_shown_as_the_catalogue_says(scene: Scene) -> None:
    assert await scene.body(AddExercise(ExerciseBody(**SQUAT))) == {"id": 1, **SQUAT}


@pytest.mark.parametrize("title", ["Squat", "squat", " Squat", "Squat  "])
async def test_a_title_is_in_the_catalogue_once(scene: Scene, title: str) -> None:
    await scene.exercise("Squat")
    other = await scene.exercise("Lunge")
    with pytest.raises(ExerciseTitleTaken):
        await scene.exercise(title)
    with pytest.raises(ExerciseTitleTaken):
        await scene.do(ChangeExercise(other, {"title": title}))


async def test_a_title_that_was_given_up_is_free(scene: Scene) -> None:
    first = await scene.exercise("Squat")
    await scene.do(ChangeExercise(first, {"title": "Front squat"}))
    second = await scene.exercise("Squat")
    await scene.do(DeleteExercise(second))
    third = await scene.exercise("squat")
    assert {row["id"]: row["title"] for row in scene.rows("exercises")} == {
        first: "Front squat",
        third: "squat",
    }


async def test_a_complete_update_replaces_everything(scene: Scene) -> None:
    await scene.do(AddExercise(ExerciseBody(**SQUAT)))
    body = await scene.body(ChangeExercise(1, ExerciseBody(title="SQUAT").facts()))
    assert body == {
        "id": 1,
        "title": "SQUAT",
        "description": None,
        "muscle_group": None,
        "equipment_required": False,
        "complexity_lvl": "BEGINNER",
    }


async def test_a_partial_update_leaves_the_rest(scene: Scene) -> None:
    await scene.do(AddExercise(ExerciseBody(**SQUAT)))
    changes = ExerciseChanges.model_validate({"muscle_group": None})
    body = await scene.body(ChangeExercise(1, changes.named()))
    assert body == {"id": 1, **SQUAT, "muscle_group": None}


async def test_what_is_not_in_the_catalogue_is_not_found(scene: Scene) -> None:
    await scene.do(DeleteExercise(await scene.exercise()))
    for command in (DeleteExercise(1), ChangeExercise(1, {"title": "Squat"})):
        with pytest.raises(NotFound, match=r"^There is no exercise 1\.$"):
            await scene.do(command)
