"""The events that go out, by the domain's own classes and the facts that may leave."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from enum import StrEnum
from types import NoneType
from typing import Any, get_args, get_type_hints

from domain.aggregate import Event
from domain.sessions import Ending
from domain.values import (
    AccessLevel,
    ClientStatus,
    Complexity,
    Intensity,
    MuscleGroup,
    PlanStatus,
    Role,
)
from interfaces.amqp.asyncapi.examples import AT, EXAMPLES, Json
from interfaces.amqp.cloudevents import MEDIA_TYPE
from interfaces.amqp.commands import JSON
from interfaces.amqp.outgoing import FACTS, UNNAMED

MEANING: Mapping[str, type[StrEnum] | str] = {
    "access_level": AccessLevel,
    "complexity_lvl": Complexity,
    "date": "date",
    "intensity": Intensity,
    "muscle_group": MuscleGroup,
    "occurred_at": "date-time",
    "paid_at": "date-time",
    "report_date_end": "date",
    "report_date_start": "date",
    "role": Role,
    "client.registered/status": ClientStatus,
    "training-plan.drawn-up/status": PlanStatus,
    "timestamp": "date-time",
    "until": "date-time",
    "why": Ending,
}
"""What a fact that is text says, more closely than the type of the event's field does."""


def events_of_the_domain() -> list[type[Event]]:
    """Every event that there can be, by its name."""

    def below(kind: type[Event]) -> Iterator[type[Event]]:
        for one in kind.__subclasses__():
            yield one
            yield from below(one)

    ours = {one for one in below(Event) if one.__module__.startswith("domain.")}
    return sorted((one for one in ours if "TOPIC" in vars(one)), key=lambda one: one.TOPIC)


def event(kind: type[Event]) -> Json:
    """An event, with the facts of it that go out."""
    named = kind.TOPIC.partition(".")[0] not in UNNAMED
    text: Json = {"type": "string"}
    properties: Json = {
        "specversion": {**text, "const": "1.0"},
        "id": {**text, "description": "the position in the ledger"},
        "source": {**text, "description": "which club it is"},
        "type": {**text, "const": kind.TOPIC},
        "time": {**text, "format": "date-time", "description": "when it happened"},
        "datacontenttype": {**text, "const": JSON},
        "sequence": {**text, "pattern": "^[0-9]{20}$", "description": "the position, to sort by"},
        "correlationid": {**text, "description": "the conversation that it belongs to"},
        "causationid": {**text, "description": "the command or the event that led to it"},
        "subject": {**text, "description": "whom it happened to: kind and number"},
        "data": _facts(kind),
    }
    example: Json = {
        "specversion": "1.0",
        "id": "1204",
        "source": "http://localhost:8000",
        "type": kind.TOPIC,
        "time": AT,
        "datacontenttype": JSON,
        "sequence": f"{1204:020d}",
        "correlationid": "b7a1",
        "causationid": "5f0c",
        "data": _facts_example(kind),
        "subject": f"{kind.TOPIC.partition('.')[0]}-7",
    }
    if not named:
        del properties["subject"], example["subject"]
    return {
        "name": kind.TOPIC,
        "title": kind.TOPIC,
        "description": inspect.cleandoc(kind.__doc__ or ""),
        "contentType": MEDIA_TYPE,
        "payload": {"type": "object", "required": [*properties], "properties": properties},
        "examples": [{"name": kind.TOPIC, "payload": example}],
    }


def _facts(kind: type[Event]) -> Json:
    """The facts that go out; of a change, those that changed."""
    names = FACTS.get(kind.TOPIC, ())
    fields = get_type_hints(kind)
    return {
        "type": "object",
        "required": [name for name in names if name in fields and name != "timestamp"],
        "properties": {name: _fact(kind, name) for name in names},
    }


def _fact(kind: type[Event], name: str) -> Json:
    """The form of a fact, by the type of the event's field and by what it means."""
    hint = _hint(kind, name)
    kinds = [one for one in get_args(hint) or (hint,) if one is not NoneType]
    optional = len(kinds) < len(get_args(hint) or (hint,))
    form: Json = {"type": _JSON_TYPES[kinds[0]]}
    meaning = MEANING.get(f"{kind.TOPIC}/{name}", MEANING.get(name))
    if isinstance(meaning, str):
        form["format"] = meaning
    elif meaning is not None:
        form["enum"] = [*(one.value for one in meaning), *([None] if optional else [])]
    if optional:
        form["type"] = [form["type"], "null"]
    return form


_JSON_TYPES = {str: "string", int: "integer", bool: "boolean"}


def _hint(kind: type[Event], name: str) -> Any:
    """The type of a fact: of the event's own field, or, of a change, as the kind began with it."""
    own = kind.TOPIC.partition(".")[0]
    siblings = [one for one in events_of_the_domain() if one.TOPIC.partition(".")[0] == own]
    for one in (kind, *siblings):
        hints = get_type_hints(one)
        if name in hints and name != "timestamp":
            return hints[name]
    return str  # the moment of a payment's status, which its events call `occurred_at`


def _facts_example(kind: type[Event]) -> Json:
    special = {"training-plan.drawn-up": {"status": "PREPARED"}}
    facts = {name: EXAMPLES[name] for name in FACTS.get(kind.TOPIC, ())}
    return facts | special.get(kind.TOPIC, {})
