"""The base of every aggregate and event.

An event is a frozen, explicit class with a permanent `TOPIC`; each of its fields says whom it is
about (`domain/privacy.py`), and its `apply` only assigns. A public method of an aggregate decides:
it refuses, or it triggers an event. An aggregate holds plain facts, and dicts and sets of them, so
that a copy can be worked on (`Aggregate.twin`) while the original stays as it was committed.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar, Self, cast

from eventsourcing.domain import (
    BaseAggregate,
    CanInitAggregate,
    CanMutateAggregate,
    MetaDomainEvent,
)
from eventsourcing.utils import register_topic, resolve_topic

from domain.privacy import Plain

type_of_fact = str | int | bool | None
Facts = Mapping[str, type_of_fact]
"""Documented columns by name, each in the form in which JSON and the log carry it.

Decimals, dates and times are text (`"72.50"`, `"1990-04-01"`, `"2026-01-31T09:00:00.000000Z"`),
so that the log can be read by any language and a number never loses a digit.
"""


class Aggregate(BaseAggregate[str]):
    """A thing of the club with a life of its own; its events are its only source of truth."""

    TOPIC = ""
    """The permanent name of the kind. (An annotation here would make dataclasses of all kinds.)"""

    def __init__(self) -> None:
        self.facts: Facts = {}
        self.deleted = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        register_topic(cls.TOPIC, cls)

    @classmethod
    def stream(cls, number: int | str) -> str:
        """The id of the aggregate with this number: `client-42`."""
        return f"{cls.TOPIC}-{number}"

    @classmethod
    def begin(
        cls, number: int | str, event_class: type[CreatedEvent], *, at: datetime, **facts: Any
    ) -> Self:
        """A new aggregate whose first event is `event_class` with these facts."""
        return cls._create(event_class, id=cls.stream(number), timestamp=at, **facts)

    def happen(self, event_class: type[Event], *, at: datetime, **facts: Any) -> None:
        """Trigger the event: apply it, and keep it as pending until it is saved."""
        self.trigger_event(event_class, timestamp=at, **facts)

    def share(self, happened: list[Event]) -> None:
        """Keep what happens here among what happens to others, in the order of all of it."""
        happened.extend(cast("list[Event]", self.collect_events()))
        self._pending_events = cast("list[CanMutateAggregate[str]]", happened)

    def twin(self) -> Self:
        """The same again, to decide on while this one stays as it is."""
        twin = type(self).__new__(type(self))
        twin.__dict__.update(
            (name, held.copy() if isinstance(held, dict | set) else held)
            for name, held in self.__dict__.items()
        )
        twin._pending_events = []
        return twin

    @property
    def number(self) -> int:
        """The number within the id: 42 for `client-42`."""
        return int(self.id.rpartition("-")[2])

    def row(self) -> dict[str, Any]:
        """The aggregate as its row shows it: `id` and the documented columns."""
        return {"id": self.number, **self.facts}

    def told(self, event: Event) -> Mapping[str, Any]:  # noqa: ARG002 - some are about a part
        """What holds of what an event is about: a history tells what of it the event changed."""
        return self.facts

    def changed(self, facts: Facts) -> dict[str, type_of_fact]:
        """Of these facts, only those that differ from what holds now."""
        return {name: fact for name, fact in facts.items() if self.facts[name] != fact}

    def amend(self, **facts: type_of_fact) -> None:
        """Replace the named facts; for the `apply` of events only."""
        self.facts = {**self.facts, **facts}


class Event(CanMutateAggregate[str], metaclass=MetaDomainEvent):
    """Something that happened in the club, in the past tense, under a permanent name."""

    TOPIC: ClassVar[str]

    originator_id: Plain[str]
    originator_version: Plain[int]
    timestamp: Plain[datetime]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "TOPIC" in cls.__dict__:
            register_topic(cls.TOPIC, cls)

    @property
    def kind(self) -> str:
        """The kind of aggregate: `client` for an event of `client-42`."""
        return self.originator_id.rpartition("-")[0]

    @property
    def number(self) -> int:
        """The number within the aggregate's id: 42 for an event of `client-42`."""
        return int(self.originator_id.rpartition("-")[2])

    @property
    def event_id(self) -> str:
        """The event's own id, as causation columns and messages name it: `client-42/3`."""
        return f"{self.originator_id}/{self.originator_version}"


class CreatedEvent(Event, CanInitAggregate[str]):
    """The first event of an aggregate; it names the aggregate's class by its topic."""

    originator_topic: Plain[str]

    def mutate(self, aggregate: Any) -> Any:
        """The aggregate as it begins, empty but for what `apply` assigns.

        The library's own way does the same after a look at every signature, which costs more
        than all the rest of a new aggregate.
        """
        if aggregate is not None:
            raise ValueError(f"{self.originator_id} has begun already")
        kind: type[Aggregate] = resolve_topic(self.originator_topic)
        begun = kind.__new__(kind)
        begun.__base_init__(self.originator_id, self.originator_version, self.timestamp)
        begun.__init__()  # type: ignore[misc]
        self.apply(begun)
        return begun


def time_text(at: datetime) -> str:
    """The one form of a point in time in facts and answers: UTC, six decimals, `Z`."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def text_time(text: str) -> datetime:
    """The point in time that `time_text` wrote."""
    return datetime.fromisoformat(text)
