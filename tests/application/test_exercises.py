"""Commands about the catalogue of exercises."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from application.exercises import (
    AddExercise,
    ChangeExercise,
    DeleteExercise,
    ExerciseBody,
    ExerciseChanges,
)
from domain.aggregate import Event
from domain.exercises import Exercise
from domain.refusals import NotFound
from domain.reservations import ExerciseTitleTaken, Reservation
from tests.application.fakes import A_MORNING
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


NFC, NFD = "D\u00e9velopp\u00e9", "De\u0301veloppe\u0301"


async def test_a_title_is_one_in_whatever_form_it_was_typed(scene: Scene) -> None:
    shown = await scene.body(AddExercise(ExerciseBody(title=NFD)))
    assert shown["title"] == NFC
    for same in (NFC, NFD, "DÉVELOPPÉ", "\uff24\u00e9velopp\u00e9"):
        with pytest.raises(ExerciseTitleTaken):
            await scene.do(AddExercise(ExerciseBody(title=same)))


def as_0_1_0_recorded(number: int, title: str) -> list[Event]:
    """An exercise as release 0.1.0 added it: reserved in the form in which it came."""
    digest = hashlib.sha256(" ".join(title.casefold().split()).encode()).hexdigest()[:32]
    exercise = Exercise.add(number, {**SQUAT, "title": title}, A_MORNING)
    made = Reservation.make(f"exercise-title-{digest}", exercise.id, A_MORNING)
    return [*exercise.collect_events(), *made.collect_events()]  # type: ignore[list-item]


async def test_a_title_of_an_earlier_release_stays_taken(scene: Scene) -> None:
    scene.ledger.given(*as_0_1_0_recorded(7, NFD))
    for same in (NFC, NFD, NFD.upper()):
        with pytest.raises(ExerciseTitleTaken):
            await scene.do(AddExercise(ExerciseBody(title=same)))


async def test_a_title_of_an_earlier_release_is_its_own_to_change_and_to_give_up(
    scene: Scene,
) -> None:
    scene.ledger.given(*as_0_1_0_recorded(7, NFD))
    await scene.do(ChangeExercise(7, ExerciseChanges(title=NFC).named()))
    with pytest.raises(ExerciseTitleTaken):
        await scene.exercise(NFD)
    await scene.do(ChangeExercise(7, {"title": "Press"}))
    await scene.do(DeleteExercise(await scene.exercise(NFC)))
    assert await scene.exercise(NFC)


async def test_two_titles_of_an_earlier_release_that_look_alike_stay_as_they_are(
    scene: Scene,
) -> None:
    scene.ledger.given(*as_0_1_0_recorded(7, NFC), *as_0_1_0_recorded(8, NFD))
    await scene.do(ChangeExercise(8, {"description": "overhead"}))
    with pytest.raises(ExerciseTitleTaken):
        await scene.do(ChangeExercise(8, ExerciseChanges(title=NFD).named()))
    await scene.do(DeleteExercise(8))
    with pytest.raises(ExerciseTitleTaken):
        await scene.exercise(NFD)


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
