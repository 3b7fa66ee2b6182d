"""Readings of what happened in the club: whoever looks into it is written down as well."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from domain.aggregate import Aggregate, CreatedEvent
from domain.privacy import Plain


class Reading(Aggregate):
    """That somebody asked for what happened to others, or how it was; the log says who, and when.

    Each is a thing of its own, so that nobody who asks waits for another.
    """

    TOPIC = "audit-reading"

    @classmethod
    def make(cls, name: str, asked: str, at: datetime) -> Self:
        """A reading of what was `asked`, in the words of whoever asked."""
        return cls.begin(name, Made, at=at, asked=asked)


class Made(CreatedEvent):
    """Somebody looked into what happened to others, or into how it was."""

    TOPIC = "audit-reading.made"
    asked: Plain[str]

    def apply(self, aggregate: Reading) -> None:
        """It was asked."""
        aggregate.facts = {"asked": self.asked}
