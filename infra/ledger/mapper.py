"""Between events and the bytes that the ledger keeps of them."""

from __future__ import annotations

from dataclasses import fields
from datetime import datetime
from functools import cache
from typing import Any, cast

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


_mapper: Mapper[str] = Mapper(OrjsonTranscoder())


def to_stored(event: Event) -> StoredEvent:
    """The event as the ledger keeps it."""
    return _mapper.to_stored_event(event)


def to_event(originator_id: str, version: int, topic: str, state: bytes) -> Event:
    """The event that the ledger kept, upcast to its newest version.

    Raises UnreadableEvent, whatever it is that cannot be read.
    """
    kind = _known().get(topic) or _known_anew().get(topic)
    if kind is None:
        raise UnreadableEvent("this release does not know such an event")
    if b'"class_version"' in state:  # only versions after the first are written down
        _refuse_newer(kind, state)
    try:
        stored = StoredEvent(originator_id, version, topic, state)
        event = cast("Event", _mapper.to_domain_event(stored))
    except Exception as fault:
        raise UnreadableEvent(f"{type(fault).__name__} while it was read") from fault
    if not vars(event).keys() >= _fields(kind):
        raise UnreadableEvent("facts are missing in it that such an event has")
    return event


@cache
def _fields(kind: type[Event]) -> frozenset[str]:
    """The facts that an event of this kind has; without them a projector would pass it by."""
    return frozenset(field.name for field in fields(kind))  # type: ignore[arg-type]


def _refuse_newer(kind: type[Event], state: bytes) -> None:
    """The library takes such an event for one of the version that it knows."""
    try:
        stored = orjson.loads(state).get("class_version", 1)
    except ValueError as broken:
        raise UnreadableEvent("it is not JSON") from broken
    known = getattr(kind, "class_version", 1)
    if not isinstance(stored, int) or stored > known:
        raise UnreadableEvent(f"it is stored in version {stored}; this release knows up to {known}")


@cache
def _known() -> dict[str, type[Event]]:
    """Every event of this release by its topic; no topic of the ledger is ever imported."""
    found: dict[str, type[Event]] = {}
    classes: list[type[Event]] = [Event]
    while classes:
        kind = classes.pop()
        classes += kind.__subclasses__()
        if "TOPIC" in kind.__dict__:
            found[kind.TOPIC] = kind
    return found


def _known_anew() -> dict[str, type[Event]]:
    """The same, with those of modules that were imported since."""
    _known.cache_clear()
    return _known()
