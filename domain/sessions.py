"""A sign-in that lasts: from the code that was typed until somebody or something ends it.

A session hands out one refresh token after another, numbered by `generation`. Only the newest is
good; an older one that comes back was copied, so the whole session ends (RFC 9700, 4.14.2).
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Self

from domain.aggregate import Aggregate, CreatedEvent, Event, text_time, time_text
from domain.privacy import OfCaller, Plain


class Ending(StrEnum):
    """Why a session ended before its time."""

    LOGGED_OUT = "logged-out"
    TOKEN_REUSED = "token-reused"  # noqa: S105 - a reason, no secret
    PASSWORD_CHANGED = "password-changed"  # noqa: S105 - a reason, no secret
    TELEGRAM_UNBOUND = "telegram-unbound"
    USER_DELETED = "user-deleted"


class Session(Aggregate):
    """One sign-in of one user, on one device."""

    TOPIC = "session"

    def __init__(self) -> None:
        super().__init__()
        self.user_id = 0
        self.generation = 0
        self.ended = False
        self.ends_at: datetime = datetime.max.replace(tzinfo=UTC)

    @classmethod
    def open(
        cls, number: int, *, user_id: int, ends_at: datetime, origin: str, agent: str, at: datetime
    ) -> Self:
        """A new session; `agent` is what the device says it is."""
        return cls.begin(
            number,
            Opened,
            at=at,
            user_id=user_id,
            ends_at=time_text(ends_at),
            origin=origin,
            agent=agent,
        )

    def live(self, at: datetime) -> bool:
        """Whether its tokens are good."""
        return not self.ended and at < self.ends_at

    def refresh(self, generation: int, origin: str, at: datetime) -> bool:
        """Exchange the refresh token of this generation; False where it had been already.

        Then somebody has a copy of it, and the session ends. The caller sees to it that the
        session is live.
        """
        if generation == self.generation:
            self.happen(Refreshed, at=at, generation=generation + 1, origin=origin)
            return True
        self.happen(TokenReused, at=at, generation=generation, origin=origin)
        self.end(Ending.TOKEN_REUSED, origin, at)
        return False

    def end(self, why: Ending, origin: str, at: datetime) -> None:
        """End it, unless it is over."""
        if self.live(at):
            self.happen(Ended, at=at, why=why.value, origin=origin)


class Opened(CreatedEvent):
    """Somebody signed in."""

    TOPIC = "session.opened"
    user_id: Plain[int]
    ends_at: Plain[str]
    origin: OfCaller[str]
    agent: OfCaller[str]

    def apply(self, aggregate: Session) -> None:
        """The first refresh token is handed out."""
        aggregate.user_id = self.user_id
        aggregate.ends_at = text_time(self.ends_at)
        aggregate.generation = 1


class Refreshed(Event):
    """The refresh token was exchanged for the next one."""

    TOPIC = "session.refreshed"
    generation: Plain[int]
    origin: OfCaller[str]

    def apply(self, aggregate: Session) -> None:
        """Only the next one is good from here on."""
        aggregate.generation = self.generation


class TokenReused(Event):
    """A refresh token came back that had been exchanged already: somebody has a copy."""

    TOPIC = "session.token-reused"
    generation: Plain[int]
    origin: OfCaller[str]

    def apply(self, aggregate: Session) -> None:
        """The end of the session is an event of its own."""


class Ended(Event):
    """The session is over; none of its tokens is good any more."""

    TOPIC = "session.ended"
    why: Plain[str]
    origin: OfCaller[str]

    def apply(self, aggregate: Session) -> None:
        """It stays over."""
        aggregate.ended = True
