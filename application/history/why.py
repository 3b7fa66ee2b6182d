"""Why something happened: what caused an event, and all that it caused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from application.access import THE_CLUB
from application.history.telling import logged
from application.ports.history import Entry, History
from domain.refusals import NotFound

MOST_AROUND = 1_000
"""Positions before an event, and after it, at which what belongs to it is looked for."""

DEEPEST = 50
"""So many causes of causes are followed back."""


async def explain(history: History, event: int | str) -> dict[str, Any]:
    """What caused an event, and all that it caused, as a tree; raises NotFound."""
    entry = await history.entry(event)
    if entry is None:
        raise NotFound(what="event", id=event)
    around = await history.around(entry, MOST_AROUND)
    causes = {e.event_id: e for e in around}
    path = [entry]
    while "/" in path[0].causation_id and len(path) < DEEPEST:
        of = path[0].causation_id
        cause = causes.get(of) or await history.entry(of)
        if cause is None:
            break
        path.insert(0, cause)
    node = _caused(entry, around)
    for above in reversed(path[:-1]):
        node = {**logged(above), "caused": [node]}
    first = path[0]
    return {
        "by": _asked_by(first),
        "actor": first.actor,
        "command": first.command,
        "command_id": first.command_id,
        "correlation_id": first.correlation_id,
        "complete": around[-1].position < entry.position + MOST_AROUND,
        "looked_up_to": entry.position + MOST_AROUND,
        "caused": [node],
    }


def _caused(entry: Entry, around: Sequence[Entry]) -> dict[str, Any]:
    """An event with all that it caused; that is recorded with it, after it."""
    caused: dict[str, list[Entry]] = {}
    for one in around:
        caused.setdefault(one.causation_id, []).append(one)

    def node(one: Entry, depth: int) -> dict[str, Any]:
        below = caused.get(one.event_id, ()) if depth < DEEPEST else ()
        return {**logged(one), "caused": [node(follows, depth + 1) for follows in below]}

    return node(entry, 0)


def _asked_by(entry: Entry) -> str:
    """What it began with: a request (over REST or RabbitMQ), a message, time, or a person.

    Whoever asks names the conversation as they like; who they are is not theirs to say.
    """
    if entry.actor.startswith("provider-"):
        return "message of a provider"
    if entry.actor != THE_CLUB.actor:
        return "request"
    if entry.correlation_id.startswith("housekeeping-"):
        return "timer"
    return {"command-line": "command line", "first-start": "first start"}.get(
        entry.correlation_id, "request"
    )
