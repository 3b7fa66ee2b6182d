"""Exercises: the catalogue."""

from __future__ import annotations

from domain.exercises import Added, Deleted, DetailsChanged, Exercise, Retitled
from tests.domain.scenario import START, after, given, news, told

FACTS = {
    "title": "Squat",
    "description": None,
    "muscle_group": "LEGS",
    "equipment_required": False,
    "complexity_lvl": "BEGINNER",
}
SQUAT = told(Added, **FACTS)
NOW = after(days=1)


def test_a_new_exercise_has_every_documented_column() -> None:
    exercise = Exercise.add(5, FACTS, START)
    assert news(exercise) == [SQUAT]
    assert exercise.row() == {"id": 5, **FACTS}


def test_a_new_title_is_an_event_of_its_own() -> None:
    exercise = given(Exercise, 5, SQUAT)
    exercise.change({"title": "Front squat", "equipment_required": True}, NOW)
    assert news(exercise) == [
        told(Retitled, title="Front squat"),
        told(DetailsChanged, changes={"equipment_required": True}),
    ]
    assert exercise.title == "Front squat"
    assert exercise.facts["equipment_required"] is True


def test_an_event_tells_only_what_changed() -> None:
    exercise = given(Exercise, 5, SQUAT)
    exercise.change({**FACTS, "muscle_group": None}, NOW)
    assert news(exercise) == [told(DetailsChanged, changes={"muscle_group": None})]


def test_what_stays_the_same_is_no_event() -> None:
    exercise = given(Exercise, 5, SQUAT)
    exercise.change(FACTS, NOW)
    assert news(exercise) == []


def test_an_exercise_is_taken_out_of_the_catalogue() -> None:
    exercise = given(Exercise, 5, SQUAT)
    exercise.delete(NOW)
    assert news(exercise) == [told(Deleted)]
    assert exercise.deleted
