"""What must not have happened, for a decision on the read tables to hold."""

from __future__ import annotations

from collections.abc import Iterable

import orjson

from application.ports.ledger import NothingSince


class Unseen:
    """Whether an event is one that any of these decisions would have had to see."""

    def __init__(self, conditions: Iterable[NothingSince]) -> None:
        self._wanted: dict[str, dict[str | None, dict[int, int]]] = {}
        """By topic and field: for each value, the first position that was seen."""
        for condition in conditions:
            for topic in condition.topics:
                values = self._wanted.setdefault(topic, {}).setdefault(condition.field, {})
                seen = values.get(condition.value, condition.position)
                values[condition.value] = min(seen, condition.position)

    def is_said(self, position: int, topic: str, state: bytes) -> bool:
        """Whether this event, at this position, is one of them; one that cannot be read is."""
        for field, values in self._wanted.get(topic, {}).items():
            if field is None:
                if position > min(values.values()):
                    return True
                continue
            value = fact_in(state, field)
            if value is UNREADABLE or (value in values and position > values[value]):
                return True
        return False


UNREADABLE = object()
"""What a fact is that cannot be read."""


def fact_in(state: bytes, field: str) -> object:
    """A fact of a stored event; UNREADABLE where it is not even JSON."""
    try:
        return orjson.loads(state).get(field)
    except (ValueError, AttributeError):
        return UNREADABLE
