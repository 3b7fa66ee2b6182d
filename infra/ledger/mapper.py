"""Between events and the bytes that the ledger keeps of them."""

from __future__ import annotations

from dataclasses import fields
from datetime import datetime
from typing import Any

import orjson
from eventsourcing.persistence import DatetimeAsISO, Mapper, StoredEvent, Transcoder

from domain.aggregate import Event


class UnreadableEvent(Exception):
    """An event in the ledger that this release cannot read, most likely one of a newer release."""


class OrjsonTranscoder(Transcoder):
    """Writes and reads what the library's own JSONTranscoder does, several times faster."""

    _moments = DatetimeAsISO()

    def encode(self, obj: Any) -> bytes:
        """The JSON of an event's facts."""
        return orjson.dumps(
            obj,
            default=self._tagged,
            option=orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_NON_STR_KEYS,
        )

    def _tagged(self, obj: object) -> dict[str, str]:
        if isinstance(obj, datetime):
            return {"_type_": self._moments.name, "_data_": self._moments.encode(obj)}
        raise TypeError(f"an event carries plain facts, not a {type(obj).__name__}")

    def decode(self, data: bytes) -> Any:
        """The facts of an event; the one tagged value in them is when it happened."""
        facts = orjson.loads(data)
        facts["timestamp"] = self._moments.decode(facts["timestamp"]["_data_"])
        return facts


_transcoder = OrjsonTranscoder()
_mapper: Mapper[str] = Mapper(_transcoder)


def to_stored(event: Event) -> StoredEvent:
    """The event as the ledger keeps it."""
    return _mapper.to_stored_event(event)


def to_event(originator_id: str, version: int, topic: str, state: bytes) -> Event:
    """The event that the ledger kept, upcast to its newest version.

    It is what the library's own mapper makes of it, in half the time. Raises UnreadableEvent,
    whatever it is that cannot be read.
    """
    known = _KNOWN.get(topic) or _known_anew().get(topic)
    if known is None:
        raise UnreadableEvent("this release does not know such an event")
    kind, newest, names = known
    try:
        facts = _transcoder.decode(state)
        stored = facts.pop("class_version", 1)  # only versions after the first are written down
        if stored != newest:
            _upcast(kind, facts, stored, newest)
    except UnreadableEvent:
        raise
    except Exception as fault:
        raise UnreadableEvent(f"{type(fault).__name__} while it was read") from fault
    facts["originator_id"], facts["originator_version"] = originator_id, version
    if not names <= facts.keys():
        # A projector would pass it by.
        raise UnreadableEvent("facts are missing in it that such an event has")
    event: Event = object.__new__(kind)
    object.__setattr__(event, "__dict__", facts)
    return event


def _upcast(kind: type[Event], facts: dict[str, Any], stored: object, newest: int) -> None:
    """The facts of an older version as those of the newest; a newer one is named, never guessed."""
    if type(stored) is not int:
        raise UnreadableEvent("the version that it is stored in is no number")
    if stored > newest:
        raise UnreadableEvent(
            f"it is stored in version {stored}; this release knows up to {newest}"
        )
    for before in range(stored, newest):
        getattr(kind, f"upcast_v{before}_v{before + 1}")(facts)


_KNOWN: dict[str, tuple[type[Event], int, frozenset[str]]] = {}
"""Every event of this release by its topic, its newest version, and the facts that it has.

No topic of the ledger is ever imported.
"""


def _known_anew() -> dict[str, tuple[type[Event], int, frozenset[str]]]:
    """The same, with those of modules that were imported since."""
    classes: list[type[Event]] = [Event]
    while classes:
        kind = classes.pop()
        classes += kind.__subclasses__()
        if "TOPIC" in kind.__dict__:
            facts = frozenset(field.name for field in fields(kind))  # type: ignore[arg-type]
            _KNOWN[kind.TOPIC] = kind, getattr(kind, "class_version", 1), facts
    return _KNOWN
