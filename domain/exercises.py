"""The catalogue of things to do in a training."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Self

from domain.aggregate import Aggregate, CreatedEvent, Event, Facts
from domain.privacy import DeclaredIn, Plain


class Exercise(Aggregate):
    """A thing to do in a training."""

    TOPIC = "exercise"

    @classmethod
    def add(cls, number: int, facts: Facts, at: datetime) -> Self:
        """Put it in the catalogue; that the title is free is for its reservation to say."""
        return cls.begin(number, Added, at=at, **facts)

    @property
    def title(self) -> str:
        """The name in the catalogue."""
        return str(self.facts["title"])

    def change(self, facts: Facts, at: datetime) -> None:
        """Change what the catalogue says; a new title is an event of its own."""
        changes = self.changed(facts)
        title = changes.pop("title", None)
        if title is not None:
            self.happen(Retitled, at=at, title=title)
        if changes:
            self.happen(DetailsChanged, at=at, changes=changes)

    def delete(self, at: datetime) -> None:
        """Take it out of the catalogue."""
        self.happen(Deleted, at=at)


class Added(CreatedEvent):
    """An exercise is in the catalogue."""

    TOPIC = "exercise.added"
    title: Plain[str]
    description: Plain[str | None]
    muscle_group: Plain[str | None]
    equipment_required: Plain[bool]
    complexity_lvl: Plain[str]

    def apply(self, aggregate: Exercise) -> None:
        """All documented columns have a value from here on."""
        aggregate.facts = {
            "title": self.title,
            "description": self.description,
            "muscle_group": self.muscle_group,
            "equipment_required": self.equipment_required,
            "complexity_lvl": self.complexity_lvl,
        }


class Retitled(Event):
    """The exercise has another title."""

    TOPIC = "exercise.retitled"
    title: Plain[str]

    def apply(self, aggregate: Exercise) -> None:
        """The new title holds."""
        aggregate.amend(title=self.title)


class DetailsChanged(Event):
    """Its description, target, equipment or level changed."""

    TOPIC = "exercise.details-changed"
    changes: Annotated[
        dict[str, Any],
        DeclaredIn(Added, "description", "muscle_group", "equipment_required", "complexity_lvl"),
    ]

    def apply(self, aggregate: Exercise) -> None:
        """What changed holds; the rest stays."""
        aggregate.amend(**self.changes)


class Deleted(Event):
    """It is not in the catalogue any more, nor in any training (a policy)."""

    TOPIC = "exercise.deleted"

    def apply(self, aggregate: Exercise) -> None:
        """It is gone."""
        aggregate.deleted = True
