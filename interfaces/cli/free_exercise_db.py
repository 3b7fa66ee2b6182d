"""The file format of the public-domain catalogue `free-exercise-db`, in the club's words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import orjson
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from application.exercises import ExerciseBody
from domain.values import Complexity, MuscleGroup

MUSCLES: Mapping[str, MuscleGroup] = {
    "abdominals": MuscleGroup.CORE,
    "abductors": MuscleGroup.HIPS,
    "adductors": MuscleGroup.HIPS,
    "biceps": MuscleGroup.ARMS,
    "calves": MuscleGroup.CALVES,
    "chest": MuscleGroup.CHEST,
    "forearms": MuscleGroup.ARMS,
    "glutes": MuscleGroup.BUTTOCKS,
    "hamstrings": MuscleGroup.LEGS,
    "lats": MuscleGroup.BACK,
    "lower back": MuscleGroup.BACK,
    "middle back": MuscleGroup.BACK,
    "neck": MuscleGroup.NECK,
    "quadriceps": MuscleGroup.LEGS,
    "shoulders": MuscleGroup.SHOULDERS,
    "traps": MuscleGroup.BACK,
    "triceps": MuscleGroup.ARMS,
}
"""The group of each of the format's muscles; the first primary muscle of an exercise counts."""

LEVELS: Mapping[str, Complexity] = {
    "beginner": Complexity.BEGINNER,
    "intermediate": Complexity.INTERMEDIATE,
    "expert": Complexity.EXPERT,
}
NO_EQUIPMENT = frozenset({None, "body only"})


class Unreadable(Exception):
    """This file is not a catalogue of exercises."""


class Entry(NamedTuple):
    """One exercise of the file: its name there, and what it is here, or why it cannot be."""

    name: str
    body: ExerciseBody | None
    refused: str = ""


class _Exercise(BaseModel):
    """What is used of an exercise of the file."""

    model_config = ConfigDict(strict=True)

    name: str
    level: str
    equipment: str | None
    primary_muscles: list[str] = Field(alias="primaryMuscles")
    instructions: list[str]


_FILE = TypeAdapter(list[dict[str, Any]])


def read(path: Path) -> list[Entry]:
    """Every exercise of the file; raises Unreadable, saying what is wrong with the whole of it."""
    try:
        found = _FILE.validate_python(orjson.loads(path.read_bytes()))
    except OSError as fault:
        raise Unreadable(f"{path} cannot be read: {fault.strerror}.") from fault
    except orjson.JSONDecodeError as fault:
        raise Unreadable(f"{path} is not JSON: {fault}.") from fault
    except ValidationError as fault:
        raise Unreadable(f"{path} is not a list of exercises.") from fault
    for number, exercise in enumerate(found, start=1):
        if not isinstance(exercise.get("name"), str):
            raise Unreadable(f"{path} is not a list of exercises: number {number} has no name.")
    return [_entry(exercise) for exercise in found]


def _entry(found: Mapping[str, Any]) -> Entry:
    name = found["name"]
    try:
        return Entry(name, _translated(_Exercise.model_validate(found)))
    except ValidationError as wrong:
        return Entry(name, None, "; ".join(_told(wrong)))
    except KeyError as unknown:
        return Entry(name, None, f"{unknown} is not one of the format's words")


def _translated(exercise: _Exercise) -> ExerciseBody:
    """The documented columns; raises KeyError for a muscle or a level that nobody knows."""
    muscles = [MUSCLES[muscle] for muscle in exercise.primary_muscles]
    return ExerciseBody(
        title=exercise.name,
        description="\n".join(exercise.instructions) or None,
        muscle_group=muscles[0] if muscles else None,
        equipment_required=exercise.equipment not in NO_EQUIPMENT,
        complexity_lvl=LEVELS[exercise.level],
    )


def _told(wrong: ValidationError) -> Iterator[str]:
    for error in wrong.errors():
        yield f"{'.'.join(str(part) for part in error['loc'])}: {error['msg']}"
