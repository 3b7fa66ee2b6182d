"""Trainings, and the exercises in them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from domain.trainings import (
    Deleted,
    DetailsChanged,
    ExerciseAdded,
    ExerciseChanged,
    ExerciseInTraining,
    ExerciseNotInTraining,
    ExerciseRemoved,
    Planned,
    Reassigned,
    Training,
)
from tests.domain.scenario import START, Told, after, given, news, told

FACTS: dict[str, Any] = {
    "client_id": 42,
    "training_type": "STRENGTH",
    "title": "Legs",
    "intensity": "HIGH",
    "duration_min": 45,
    "date": "2026-02-01",
    "description": None,
}
DOING: dict[str, Any] = {
    "order_in_training": 1,
    "sets": 3,
    "reps": 10,
    "rest_time_sec": 60,
    "extra_weight": None,
}
LEGS = told(Planned, **FACTS)
NOW = after(days=1)


def with_exercise(exercise_id: int, order: int = 1) -> Told:
    return told(ExerciseAdded, exercise_id=exercise_id, **DOING | {"order_in_training": order})


def test_a_new_training_has_every_documented_column_and_no_exercises() -> None:
    training = Training.plan(9, FACTS, START)
    assert news(training) == [LEGS]
    assert training.row() == {"id": 9, **FACTS}
    assert training.exercise_ids == []


def test_giving_a_training_to_another_client_is_an_event_of_its_own() -> None:
    training = given(Training, 9, LEGS)
    training.change({**FACTS, "client_id": 43, "title": "Legs again"}, NOW)
    assert news(training) == [
        told(Reassigned, client_id=43),
        told(DetailsChanged, changes={"title": "Legs again"}),
    ]
    assert training.client_id == 43


def test_what_stays_the_same_is_no_event() -> None:
    training = given(Training, 9, LEGS, with_exercise(5))
    training.change(FACTS, NOW)
    training.change_exercise(5, DOING, NOW)
    assert news(training) == []


def test_an_exercise_becomes_part_of_a_training() -> None:
    training = given(Training, 9, LEGS)
    training.add_exercise(5, DOING, NOW)
    assert news(training) == [with_exercise(5)]
    assert training.exercise_row(5) == {"training_id": 9, "exercise_id": 5, **DOING}


def test_an_exercise_is_in_a_training_once() -> None:
    training = given(Training, 9, LEGS, with_exercise(5))
    with pytest.raises(ExerciseInTraining, match=r"^Exercise 5 is already in this training\.$"):
        training.add_exercise(5, DOING | {"order_in_training": 2}, NOW)


def test_exercises_come_in_the_order_of_the_training_and_then_of_their_numbers() -> None:
    training = given(
        Training, 9, LEGS, with_exercise(5, 2), with_exercise(8, 1), with_exercise(6, 1)
    )
    assert training.exercise_ids == [6, 8, 5]


def test_only_what_changed_about_an_exercise_is_told() -> None:
    training = given(Training, 9, LEGS, with_exercise(5), with_exercise(6, 2))
    training.change_exercise(5, DOING | {"reps": 12, "extra_weight": "20.00"}, NOW)
    changes = {"reps": 12, "extra_weight": "20.00"}
    assert news(training) == [told(ExerciseChanged, exercise_id=5, changes=changes)]
    assert training.exercise(5) == DOING | changes
    assert training.exercise(6) == DOING | {"order_in_training": 2}


def test_an_exercise_is_taken_out_of_a_training() -> None:
    training = given(Training, 9, LEGS, with_exercise(5), with_exercise(6, 2))
    training.remove_exercise(5, NOW)
    assert news(training) == [told(ExerciseRemoved, exercise_id=5)]
    assert training.exercise_ids == [6]


def test_an_exercise_that_was_taken_out_can_be_put_in_again() -> None:
    training = given(Training, 9, LEGS, with_exercise(5), told(ExerciseRemoved, exercise_id=5))
    training.add_exercise(5, DOING, NOW)
    assert training.exercise_ids == [5]


ASKING: dict[str, Callable[[Training], object]] = {
    "change": lambda training: training.change_exercise(6, {"reps": 12}, NOW),
    "remove": lambda training: training.remove_exercise(6, NOW),
    "show": lambda training: training.exercise_row(6),
}


@pytest.mark.parametrize("ask", ASKING)
def test_an_exercise_that_is_not_in_the_training_is_not_found(ask: str) -> None:
    training = given(Training, 9, LEGS, with_exercise(5))
    with pytest.raises(ExerciseNotInTraining, match=r"^Exercise 6 is not in this training\.$"):
        ASKING[ask](training)
    assert news(training) == []


def test_the_exercises_of_a_deleted_training_leave_it_in_words() -> None:
    training = given(Training, 9, LEGS, with_exercise(6, 2), with_exercise(5, 1))
    training.delete(NOW)
    assert news(training) == [
        told(ExerciseRemoved, exercise_id=5),
        told(ExerciseRemoved, exercise_id=6),
        told(Deleted),
    ]
    assert training.deleted
    assert training.exercise_ids == []


def test_a_copy_is_the_same_training_on_another_day_in_the_same_order() -> None:
    heavy = told(ExerciseAdded, exercise_id=3, **DOING | {"order_in_training": 2, "sets": 5})
    training = given(Training, 9, LEGS, heavy, with_exercise(4))
    copy = training.copy(10, 43, "2026-03-01", NOW)
    assert (copy.id, news(training)) == ("training-10", [])
    assert news(copy) == [
        told(Planned, **FACTS | {"client_id": 43, "date": "2026-03-01"}),
        with_exercise(4),
        heavy,
    ]


def test_what_becomes_of_a_training_does_not_become_of_its_copy() -> None:
    training = given(Training, 9, LEGS, with_exercise(4))
    copy = training.copy(10, 42, "2026-03-01", NOW)
    training.change_exercise(4, {"sets": 9}, NOW)
    training.change({"title": "Arms"}, NOW)
    assert (copy.exercise(4)["sets"], copy.facts["title"]) == (3, "Legs")
