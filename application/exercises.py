"""Commands about the catalogue of exercises."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from application.access import Permission
from application.command import Command
from application.fields import Body, Flag, Line50, Text
from application.work import Result, Work, result_of
from domain.exercises import Exercise
from domain.reservations import ExerciseTitleTaken, Value
from domain.values import Complexity, MuscleGroup


class ExerciseBody(Body):
    """An exercise's documented columns."""

    title: Line50
    description: Text | None = None
    muscle_group: MuscleGroup | None = None
    equipment_required: Flag = False
    complexity_lvl: Complexity = Complexity.BEGINNER


class ExerciseChanges(ExerciseBody, partial=True):
    """Some columns of an exercise."""


@dataclass(frozen=True, slots=True)
class AddExercise(Command):
    """Put an exercise in the catalogue."""

    body: ExerciseBody


@dataclass(frozen=True, slots=True)
class ChangeExercise(Command):
    """Change what the catalogue says: all of it, or the fields named."""

    exercise_id: int
    facts: dict[str, Any]


@dataclass(frozen=True, slots=True)
class DeleteExercise(Command):
    """Take an exercise out of the catalogue, and out of every training."""

    exercise_id: int


async def add_exercise(command: AddExercise, work: Work) -> Result:
    """The title must be free."""
    work.must_reach_all(Permission.EXERCISES_KEEP)
    number = await work.new_number(Exercise)
    exercise = work.add(Exercise.add(number, command.body.facts(), work.at))
    await work.claim(title_of(exercise.title), exercise, ExerciseTitleTaken)
    return result_of(exercise)


async def change_exercise(command: ChangeExercise, work: Work) -> Result:
    """A new title is reserved before the old one is given back."""
    work.must_reach_all(Permission.EXERCISES_KEEP)
    exercise = await work.get(Exercise, command.exercise_id)
    work.must_match(exercise)
    old, new = title_of(exercise.title), title_of(command.facts.get("title", exercise.title))
    if old != new:
        await work.exchange(old, new, exercise, ExerciseTitleTaken)
    exercise.change(command.facts, work.at)
    return result_of(exercise)


async def delete_exercise(command: DeleteExercise, work: Work) -> Result:
    """Its title is free again; trainings that hold it let go of it (a policy)."""
    work.must_reach_all(Permission.EXERCISES_DELETE)
    exercise = await work.get(Exercise, command.exercise_id)
    work.must_match(exercise)
    await work.give_back(title_of(exercise.title), exercise)
    exercise.delete(work.at)
    return Result(None)


def title_of(title: str) -> Value:
    """A title, of which there is one in the catalogue."""
    return Value("exercise-title", title)
