"""Between events and the bytes that the ledger keeps of them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast

import orjson
from eventsourcing.persistence import DatetimeAsISO, Mapper, StoredEvent, Transcoder
from eventsourcing.utils import resolve_topic

from domain.aggregate import Event


class NewerThanTheCode(Exception):
    """An event in the ledger is of a version that only a newer release of the service knows."""


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

    Raises NewerThanTheCode where the code is older than the event.
    """
    if b'"class_version"' in state:  # only versions after the first are written down
        _refuse_newer(topic, state)
    return cast("Event", _mapper.to_domain_event(StoredEvent(originator_id, version, topic, state)))


def _refuse_newer(topic: str, state: bytes) -> None:
    """The library takes such an event for one of the version that it knows."""
    stored = orjson.loads(state).get("class_version", 1)
    known = getattr(resolve_topic(topic), "class_version", 1)
    if stored > known:
        raise NewerThanTheCode(f"{topic} is stored in version {stored}, known up to {known}")
