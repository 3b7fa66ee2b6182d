"""What leaves the club, event by event: the facts that are neither personal nor secret.

Every event goes out, so that whoever counts the sequence sees no hole; of its facts only those that
its class declares plain (`domain/privacy.py`). What tells who somebody is, or how they are, stays
in the club: names, addresses, telephone numbers, days of birth, measures, what people wrote about
trainings and plans, where they signed in from. The only words of people that leave are those of
the catalogue of exercises and of the memberships on offer. Others know people by number, and ask
over REST for what they are allowed to see.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import orjson

from domain.aggregate import Event, time_text
from domain.facts import declared, facts_of
from domain.privacy import Privacy

BOOKKEEPING = frozenset({"reservation", "sign-in", "audit-reading"})
"""Kinds that only the club understands: neither their facts nor their ids go out.

A digest of an address can be found by trying addresses, nobody knows who it was that failed to
sign in, and who looks into the past of whom is for those to know who may look into it.
"""


def is_bookkeeping(kind: type[Event]) -> bool:
    """Whether only the club understands such an event."""
    return kind.TOPIC.partition(".")[0] in BOOKKEEPING


@cache
def leaving(kind: type[Event]) -> tuple[str, ...]:
    """The names of the facts that go out with such an event; of a change, of those that may."""
    if is_bookkeeping(kind):
        return ()
    return tuple(name for name, said in declared(kind).items() if said.privacy is Privacy.PLAIN)


def facts(event: Event) -> dict[str, Any]:
    """The facts of an event that may go out; of a change, only what changed."""
    known = facts_of(event)
    return {name: known[name] for name in leaving(type(event)) if name in known}


def cloud_event(
    event: Event, position: int, source: str, correlation_id: str, causation_id: str
) -> bytes:
    """The event as it goes out, in structured JSON.

    `sequence` is its position in the ledger, in twenty digits, so that it sorts as text too.
    """
    said: dict[str, Any] = {
        "specversion": "1.0",
        "id": str(position),
        "source": source,
        "type": event.TOPIC,
        "time": time_text(event.timestamp),
        "datacontenttype": "application/json",
        "sequence": f"{position:020d}",
        "correlationid": correlation_id,
        "causationid": causation_id,
        "data": facts(event),
    }
    if not is_bookkeeping(type(event)):
        said["subject"] = event.originator_id
    return orjson.dumps(said)
