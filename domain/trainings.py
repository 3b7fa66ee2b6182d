"""A client's training, with the exercises it holds."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Self

from domain.aggregate import Aggregate, CreatedEvent, Event, Facts
from domain.privacy import DeclaredIn, OfClient, Plain
from domain.refusals import Conflict, NotFound


class ExerciseInTraining(Conflict):
    """Exercise {exercise_id} is already in this training."""

    FIELD = "exercise_id"


class ExerciseNotInTraining(NotFound):
    """Exercise {exercise_id} is not in this training."""


class ClientNotTraining(Conflict):
    """A client who is {status} cannot be given a training."""

    FIELD = "client_id"


class Training(Aggregate):
    """A client's training, with the exercises it holds by number, and how each is done."""

    TOPIC = "training"

    def __init__(self) -> None:
        super().__init__()
        self.exercises: dict[int, Facts] = {}

    @classmethod
    def plan(cls, number: int, facts: Facts, at: datetime) -> Self:
        """Give a client a training."""
        return cls.begin(number, Planned, at=at, **facts)

    def told(self, event: Event) -> Mapping[str, Any]:
        """How the exercise is done that the event is about, where it is about one."""
        if isinstance(event, ExerciseAdded | ExerciseChanged | ExerciseRemoved):
            return self.exercises.get(event.exercise_id, {})
        return self.facts

    @property
    def client_id(self) -> int:
        """The number of the client whose training it is."""
        return int(self.facts["client_id"] or 0)

    @property
    def exercise_ids(self) -> list[int]:
        """The numbers of its exercises, in the order of the training."""
        return sorted(
            self.exercises, key=lambda n: (self.exercises[n]["order_in_training"] or 0, n)
        )

    def copy(self, number: int, client_id: int, date: str, at: datetime) -> Self:
        """The same training for a client on another day, with exercises done in the same way.

        What becomes of either of the two from here on does not become of the other.
        """
        copy = self.plan(number, {**self.facts, "client_id": client_id, "date": date}, at)
        for exercise_id in self.exercise_ids:
            copy.add_exercise(exercise_id, self.exercises[exercise_id], at)
        return copy

    def change(self, facts: Facts, at: datetime) -> None:
        """Change the training; giving it to another client is an event of its own."""
        changes = self.changed(facts)
        client_id = changes.pop("client_id", None)
        if client_id is not None:
            self.happen(Reassigned, at=at, client_id=client_id)
        if changes:
            self.happen(DetailsChanged, at=at, changes=changes)

    def add_exercise(self, exercise_id: int, facts: Facts, at: datetime) -> None:
        """Make an exercise part of the training."""
        if exercise_id in self.exercises:
            raise ExerciseInTraining(exercise_id=exercise_id)
        self.happen(ExerciseAdded, at=at, exercise_id=exercise_id, **facts)

    def change_exercise(self, exercise_id: int, facts: Facts, at: datetime) -> None:
        """Change how an exercise is done."""
        now = self.exercise(exercise_id)
        changes = {name: fact for name, fact in facts.items() if now[name] != fact}
        if changes:
            self.happen(ExerciseChanged, at=at, exercise_id=exercise_id, changes=changes)

    def remove_exercise(self, exercise_id: int, at: datetime) -> None:
        """Take an exercise out of the training."""
        self.exercise(exercise_id)
        self.happen(ExerciseRemoved, at=at, exercise_id=exercise_id)

    def exercise(self, exercise_id: int) -> Facts:
        """How the exercise is done in this training; refused if it is not in it."""
        if exercise_id not in self.exercises:
            raise ExerciseNotInTraining(exercise_id=exercise_id)
        return self.exercises[exercise_id]

    def exercise_row(self, exercise_id: int) -> dict[str, Any]:
        """One row of the documented table that links trainings and exercises."""
        facts = self.exercise(exercise_id)
        return {"training_id": self.number, "exercise_id": exercise_id, **facts}

    def delete(self, at: datetime) -> None:
        """Take the training back; its exercises leave it first, in words."""
        for exercise_id in self.exercise_ids:
            self.happen(ExerciseRemoved, at=at, exercise_id=exercise_id)
        self.happen(Deleted, at=at)


class Planned(CreatedEvent):
    """A client was given a training."""

    TOPIC = "training.planned"
    client_id: Plain[int]
    training_type: OfClient[str | None]
    title: OfClient[str]
    intensity: Plain[str | None]
    duration_min: Plain[int]
    date: Plain[str | None]
    description: OfClient[str | None]

    def apply(self, aggregate: Training) -> None:
        """All documented columns have a value from here on."""
        aggregate.facts = {
            "client_id": self.client_id,
            "training_type": self.training_type,
            "title": self.title,
            "intensity": self.intensity,
            "duration_min": self.duration_min,
            "date": self.date,
            "description": self.description,
        }


class DetailsChanged(Event):
    """Plain facts about the training changed."""

    TOPIC = "training.details-changed"
    changes: Annotated[
        dict[str, Any],
        DeclaredIn(
            Planned, "training_type", "title", "intensity", "duration_min", "date", "description"
        ),
    ]

    def apply(self, aggregate: Training) -> None:
        """What changed holds; the rest stays."""
        aggregate.amend(**self.changes)


class Reassigned(Event):
    """The training is another client's."""

    TOPIC = "training.reassigned"
    client_id: Plain[int]

    def apply(self, aggregate: Training) -> None:
        """The new client holds."""
        aggregate.amend(client_id=self.client_id)


class ExerciseAdded(Event):
    """An exercise became part of the training."""

    TOPIC = "training.exercise-added"
    exercise_id: Plain[int]
    order_in_training: Plain[int]
    sets: Plain[int]
    reps: Plain[int]
    rest_time_sec: Plain[int]
    extra_weight: OfClient[str | None]

    def apply(self, aggregate: Training) -> None:
        """It is in."""
        facts: Facts = {
            "order_in_training": self.order_in_training,
            "sets": self.sets,
            "reps": self.reps,
            "rest_time_sec": self.rest_time_sec,
            "extra_weight": self.extra_weight,
        }
        aggregate.exercises[self.exercise_id] = facts


class ExerciseChanged(Event):
    """How an exercise is done in the training changed."""

    TOPIC = "training.exercise-changed"
    exercise_id: Plain[int]
    changes: Annotated[
        dict[str, Any],
        DeclaredIn(
            ExerciseAdded, "order_in_training", "sets", "reps", "rest_time_sec", "extra_weight"
        ),
    ]

    def apply(self, aggregate: Training) -> None:
        """What changed holds; the rest stays."""
        facts = {**aggregate.exercises[self.exercise_id], **self.changes}
        aggregate.exercises[self.exercise_id] = facts


class ExerciseRemoved(Event):
    """An exercise is not part of the training any more."""

    TOPIC = "training.exercise-removed"
    exercise_id: Plain[int]

    def apply(self, aggregate: Training) -> None:
        """It is out."""
        del aggregate.exercises[self.exercise_id]


class Deleted(Event):
    """The training is gone, and from every plan too (a policy)."""

    TOPIC = "training.deleted"

    def apply(self, aggregate: Training) -> None:
        """It is gone."""
        aggregate.deleted = True
