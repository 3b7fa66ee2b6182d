"""A link that opens one page for one reader, who needs no other token for it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Self

from domain.aggregate import Aggregate, CreatedEvent, Event, text_time, time_text
from domain.privacy import Plain


class PageLink(Aggregate):
    """A link to a page, good for one reader until it expires or is revoked."""

    TOPIC = "page-link"

    def __init__(self) -> None:
        super().__init__()
        self.user_id = 0
        self.page = ""
        self.revoked = False
        self.expires_at: datetime = datetime.max.replace(tzinfo=UTC)

    @classmethod
    def make(cls, number: int, *, user_id: int, page: str, until: datetime, at: datetime) -> Self:
        """A link with which this user reads this page."""
        return cls.begin(
            number, Made, at=at, user_id=user_id, page=page, expires_at=time_text(until)
        )

    def good(self, at: datetime) -> bool:
        """Whether it opens the page."""
        return not self.revoked and at < self.expires_at

    def revoke(self, at: datetime) -> None:
        """Let it open nothing from here on; once it is over, that changes nothing."""
        if self.good(at):
            self.happen(Revoked, at=at)


class Made(CreatedEvent):
    """Somebody may open a page with a link."""

    TOPIC = "page-link.made"
    user_id: Plain[int]
    page: Plain[str]
    expires_at: Plain[str]

    def apply(self, aggregate: PageLink) -> None:
        """It is good from here on."""
        aggregate.user_id = self.user_id
        aggregate.page = self.page
        aggregate.expires_at = text_time(self.expires_at)


class Revoked(Event):
    """The link opens nothing any more."""

    TOPIC = "page-link.revoked"

    def apply(self, aggregate: PageLink) -> None:
        """It stays so."""
        aggregate.revoked = True
