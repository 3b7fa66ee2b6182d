"""How an event is told: who did what and when, what it changed, and what nobody is shown."""

from __future__ import annotations

import inspect
from typing import Any

from application.access import THE_CLUB, Caller
from application.history.states import State, after
from application.ports.history import Entry
from domain.aggregate import Event, time_text
from domain.facts import facts_of, has_plain_ids, withheld


def tell(state: State, entry: Entry) -> tuple[State, dict[str, Any]]:
    """What an event changed, and what it says beside that; and what the thing is after it."""
    event = entry.event
    if event is None:
        return after(state, entry), {"changes": [], "facts": {}, "withheld": []}
    hidden = withheld(entry.kind)
    before = {} if state.aggregate is None else dict(state.aggregate.told(event))
    state = after(state, entry)
    since = {} if state.aggregate is None else dict(state.aggregate.told(event))
    changes = {
        name: (before.get(name), since.get(name))
        for name in {**before, **since}
        if before.get(name) != since.get(name) and name not in hidden
    }
    facts = facts_of(event)
    return state, {
        "changes": [{"field": n, "before": b, "after": a} for n, (b, a) in changes.items()],
        "facts": {n: fact for n, fact in facts.items() if n not in hidden and n not in changes},
        "withheld": sorted(name for name in facts if name in hidden),
    }


def without_before(told: dict[str, Any]) -> dict[str, Any]:
    """What is told of the event that made a thing somebody's: not what it had been to another."""
    return told | {"changes": [change | {"before": None} for change in told["changes"]]}


def logged(entry: Entry, reader: Caller = THE_CLUB) -> dict[str, Any]:
    """Who did what, when and in which conversation."""
    everything = reader.role is THE_CLUB.role
    own = everything or entry.actor == reader.actor
    return {
        "position": entry.position,
        "recorded_at": None if entry.recorded_at is None else time_text(entry.recorded_at),
        "type": entry.topic,
        "said": None if entry.event is None else _sentence(type(entry.event)),
        "resource": entry.kind,
        "subject": entry.stream if has_plain_ids(entry.kind) else None,
        "version": entry.version,
        "actor": entry.actor if everything else _in_general(entry.actor, reader),
        "command": entry.command,
        "command_id": entry.command_id if own else None,
        "correlation_id": entry.correlation_id if own else None,
        "causation_id": entry.causation_id if own else None,
        "unreadable": entry.unreadable,
    }


def _sentence(kind: type[Event]) -> str:
    """What an event is in the club, as its class says it."""
    first = inspect.cleandoc(kind.__doc__ or "").partition("\n\n")[0]
    return " ".join(first.partition(";")[0].split()).removesuffix(".")


def _in_general(actor: str, reader: Caller) -> str:
    """Who it was, for somebody who may not know: `other` is mostly the front desk."""
    if actor == reader.actor:
        return "you"
    known = actor.partition("-")[0]
    return known if known in {"club", "provider"} else "other"
