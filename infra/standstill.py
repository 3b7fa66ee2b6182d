"""Why a part of the service does not go on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Protocol, Self, runtime_checkable

import structlog

logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Standstill:
    """Why a part does not go on, and since when."""

    reason: str
    """For ADMINs and the log. It never quotes a row, nor an address."""
    aside: bool = False
    """Whether that is as it should be: the work is another's."""
    position: int | None = None
    """The event that it cannot take, where it is one."""
    topic: str | None = None
    since: datetime = field(default_factory=lambda: datetime.now(UTC), compare=False)

    @classmethod
    def of_silence(cls, reason: str, seconds: float) -> Self:
        """Of a part that has heard nothing for so long."""
        return cls(reason, since=datetime.now(UTC) - timedelta(seconds=seconds))

    @property
    def sentence(self) -> str:
        """For people: where it stands, and why."""
        if self.position is None:
            return self.reason
        return f"stands still before position {self.position} ({self.topic}): {self.reason}"


class Working(Protocol):
    """A part that knows whether it goes on."""

    @property
    def name(self) -> str: ...
    @property
    def standstill(self) -> Standstill | None:
        """Why it does not; None where it does."""


@runtime_checkable
class Doing(Protocol):
    """A part that says what it does, where that is of interest."""

    @property
    def doing(self) -> str: ...


class Told:
    """A part that says why it does not go on; since when is noted here, and what changes logged."""

    def __init__(self, name: str, why: Callable[[], str | None]) -> None:
        self.name = name
        self._why = why
        self._told: Standstill | None = None

    @property
    def standstill(self) -> Standstill | None:
        """Why it does not, since it was first seen not to; None where it does."""
        why, before = self._why(), self._told
        if why is None:
            if before is not None:
                logger.info("part.goes-on", part=self.name)
            self._told = None
        elif before is None or before.reason != why:
            logger.warning("part.stands-still", part=self.name, reason=why)
            self._told = Standstill(why) if before is None else replace(before, reason=why)
        return self._told
