"""The facts of an event, and what its class says of each of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from functools import cache
from typing import Any, NamedTuple, get_args, get_type_hints

from domain.aggregate import CreatedEvent, Event
from domain.privacy import DeclaredIn, Privacy

FRAME = frozenset(field.name for field in fields(CreatedEvent))  # type: ignore[arg-type]
"""What every event carries around its facts: what it happened to, and when."""


class Undeclared(TypeError):
    """A field of an event does not say whom it is about."""


class Declared(NamedTuple):
    """What an event's class says of a fact."""

    type: Any
    privacy: Privacy


def facts_of(event: Event) -> dict[str, Any]:
    """The facts of an event, by name; of a change, those that changed."""
    facts = {name: fact for name, fact in vars(event).items() if name not in FRAME}
    changes: dict[str, Any] = facts.pop("changes", {})
    return facts | changes


@cache
def declared(kind: type[Event]) -> Mapping[str, Declared]:
    """What is said of each fact of such an event; of a change, of each that may be in it.

    Raises `Undeclared` for a field that says nothing, so that it goes nowhere.
    """
    return dict(_declarations(kind, frame=False))


@cache
def declared_frame(kind: type[Event]) -> Mapping[str, Declared]:
    """What is said of the rest, which every event carries; an id that is a digest is personal."""
    return dict(_declarations(kind, frame=True))


WITHHELD = frozenset({Privacy.SECRET, Privacy.OF_CALLER})
"""What no history shows to anybody: hashes and codes, and from where somebody asked."""


@cache
def withheld(kind: str) -> frozenset[str]:
    """The names of facts that no history of such an aggregate shows, in whatever event they are."""
    return frozenset(
        name
        for event in _events_of(kind)
        for name, said in declared(event).items()
        if said.privacy in WITHHELD
    )


@cache
def has_plain_ids(kind: str) -> bool:
    """Whether ids of such aggregates may be told: a digest is found by whoever tries addresses.

    Of a kind that only a newer release knows, nobody here can say.
    """
    ids = {declared_frame(event)["originator_id"].privacy for event in _events_of(kind)}
    return ids == {Privacy.PLAIN}


def _events_of(kind: str) -> Iterator[type[Event]]:
    """The classes of all that happens to such an aggregate."""
    classes: list[type[Event]] = [Event]
    while classes:
        event = classes.pop()
        classes += event.__subclasses__()
        if event.__dict__.get("TOPIC", "").partition(".")[0] == kind:
            yield event


def _declarations(kind: type[Event], *, frame: bool) -> Iterator[tuple[str, Declared]]:
    hints = get_type_hints(kind, include_extras=True)
    for name in (field.name for field in fields(kind)):  # type: ignore[arg-type]
        if (name in FRAME) is not frame:
            continue
        match get_args(hints[name]):
            case (hint, Privacy() as privacy):
                yield name, Declared(hint, privacy)
            case (_, DeclaredIn() as there):
                for here, elsewhere in there.names.items():
                    yield here, declared(there.event)[elsewhere]
            case _:
                raise Undeclared(f"{kind.__module__}.{kind.__qualname__}.{name}")
