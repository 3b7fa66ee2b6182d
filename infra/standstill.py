"""Why a part of the service does not go on."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol


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
