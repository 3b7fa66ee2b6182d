"""The events that go out, by the domain's own classes and the facts that may leave."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from enum import StrEnum
from types import NoneType
from typing import get_args, get_type_hints

from domain.aggregate import Event
from domain.facts import FRAME, declared
from domain.sessions import Ending
from domain.subscriptions import State
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
from interfaces.amqp.outgoing import is_bookkeeping, leaving

MEANING: Mapping[str, type[StrEnum] | str] = {
    "access_level": AccessLevel,
    "again_at": "date-time",
    "complexity_lvl": Complexity,
    "date": "date",
    "day": "date",
    "ends_at": "date-time",
    "ends_before": "date-time",
    "expires_at": "date-time",
    "intensity": Intensity,
    "muscle_group": MuscleGroup,
    "occurred_at": "date-time",
    "paid_at": "date-time",
    "report_date_end": "date",
    "report_date_start": "date",
    "resumed_at": "date-time",
    "role": Role,
    "since": "date-time",
    "starts_at": "date-time",
    "client.registered/status": ClientStatus,
    "subscription.delivery-failed/state": State,
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
    if is_bookkeeping(kind):
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
    always = get_type_hints(kind).keys() - FRAME
    return {
        "type": "object",
        "required": [name for name in leaving(kind) if name in always],
        "properties": {name: _fact(kind, name) for name in leaving(kind)},
    }


def _fact(kind: type[Event], name: str) -> Json:
    """The form of a fact, by the type that is declared for it and by what it means."""
    hint = declared(kind)[name].type
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


def _facts_example(kind: type[Event]) -> Json:
    special = {"training-plan.drawn-up": {"status": "PREPARED"}}
    facts = {name: EXAMPLES[name] for name in leaving(kind)}
    return facts | special.get(kind.TOPIC, {})
