"""Attempts to sign in that failed, each kept for whoever looks into them later.

They are no events of the user: anybody can fail to sign in as somebody else, and must not make
the user's own history any longer, nor change its version.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Self

from domain.aggregate import Aggregate, CreatedEvent
from domain.privacy import OfCaller, Plain


class Failure(StrEnum):
    """Why somebody was not let in."""

    WRONG_PASSWORD = "wrong-password"  # noqa: S105 - a reason, no secret
    UNKNOWN_USER = "unknown-user"
    FOREIGN_TELEGRAM = "foreign-telegram"
    WRONG_CODE = "wrong-code"
    TOO_MANY_CODES = "too-many-codes"
    WRONG_FIRST_CODE = "wrong-first-code"
    OVERTAKEN = "overtaken"
    """The password, the Telegram account or the user changed between the steps."""


class SignIn(Aggregate):
    """One attempt to sign in that failed."""

    TOPIC = "sign-in"

    @classmethod
    def fail(
        cls,
        number: int,
        *,
        user_id: int | None,
        why: Failure,
        origin: str,
        agent: str,
        at: datetime,
    ) -> Self:
        """A failed attempt."""
        return cls.begin(
            number, Failed, at=at, user_id=user_id, why=why.value, origin=origin, agent=agent
        )


class Failed(CreatedEvent):
    """Somebody tried to sign in and was not let in; `user_id` is None where there is no such user.

    What was typed is not kept: people type passwords where a name belongs.
    """

    TOPIC = "sign-in.failed"
    user_id: Plain[int | None]
    why: Plain[str]
    origin: OfCaller[str]
    agent: OfCaller[str]

    def apply(self, aggregate: SignIn) -> None:
        """There is nothing to decide later."""
