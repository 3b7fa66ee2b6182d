"""Given these events, when this is asked, then these events or this refusal."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, TypeVar

from domain.aggregate import Aggregate, CreatedEvent, Event, time_text

A = TypeVar("A", bound=Aggregate)

START = datetime(2026, 1, 1, 9, tzinfo=UTC)
"""When the given events happened."""

CARRIED_BY_ALL = {"originator_id", "originator_version", "originator_topic", "timestamp"}


class Told(NamedTuple):
    """An event without what all events have: its kind, and the facts that it tells."""

    kind: type[Event]
    facts: dict[str, Any]


def told(kind: type[Event], **facts: Any) -> Told:
    """An event that is given or expected."""
    return Told(kind, facts)


def given(kind: type[A], number: int | str, *history: Told) -> A:
    """The aggregate that these events made, with nothing pending."""
    first, *others = history
    assert issubclass(first.kind, CreatedEvent)
    aggregate = kind.begin(number, first.kind, at=START, **first.facts)
    for event in others:
        aggregate.happen(event.kind, at=START, **event.facts)
    aggregate.collect_events()
    return aggregate


def news(aggregate: Aggregate) -> list[Told]:
    """What has happened since."""
    return [
        Told(
            type(event),
            {name: fact for name, fact in vars(event).items() if name not in CARRIED_BY_ALL},
        )
        for event in aggregate.pending_events
        if isinstance(event, Event)
    ]


def after(*, days: float = 0, hours: float = 0, minutes: float = 0) -> datetime:
    """A moment so much later than the start."""
    return START + timedelta(days=days, hours=hours, minutes=minutes)


def text(at: datetime) -> str:
    """The moment as facts carry it."""
    return time_text(at)
