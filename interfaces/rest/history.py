"""Routes of what happened in the club: for ADMINs, and written down whenever one asks."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from fastapi import Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from application.fields import Moment
from application.history import KINDS, LAST, Pages, Resource
from interfaces.rest.asking import Asking
from interfaces.rest.documented import group, lists, shows
from interfaces.rest.door import asks
from interfaces.rest.lists import Digits, PathNumber, words

routes = group("/history", "History")

Position = Annotated[int, Digits, Field(ge=1, le=LAST)]
"""A position of the ledger, in a query."""


class Order(StrEnum):
    """The oldest first, or the newest."""

    POSITION = "position"
    NEWEST = "-position"


class ChangeShown(BaseModel):
    """What an event made of a field."""

    field: str
    before: Any
    after: Any


class EntryShown(BaseModel):
    """An event: who did what, when and in which conversation."""

    position: int
    recorded_at: Moment | None = Field(
        description="null where somebody made it a moment that cannot be, past the club"
    )
    type: str
    said: str | None = Field(description="what that is, in words; null where it cannot be read")
    resource: str
    subject: str | None = Field(description="kind and number: `client-42`; null for a digest")
    version: int
    actor: str = Field(
        description="`user-7`, `club`, `provider-acme`; to others than an ADMIN `you`, `club`, "
        "`provider` or `other`"
    )
    command: str
    command_id: str | None
    correlation_id: str | None = Field(description="the X-Request-Id that it was asked with")
    causation_id: str | None = Field(description="the command, or the event that led to it")
    unreadable: str | None = Field(description="why this release cannot read it, if it cannot")


class HistoryShown(EntryShown):
    """An event of one thing, with what it changed."""

    changes: list[ChangeShown]
    facts: dict[str, Any] = Field(description="what it says beside that")
    withheld: list[str] = Field(description="what it says, and nobody is shown")


class CausedShown(EntryShown):
    """An event, and what it caused."""

    caused: list[CausedShown]


class WhyShown(BaseModel):
    """What an event comes from, and what came of it."""

    by: str = Field(description="what it all began with: a request, a timer, a message, a person")
    actor: str
    command: str
    command_id: str
    correlation_id: str
    complete: bool = Field(description="whether that is all; only so much is looked through")
    looked_up_to: int = Field(
        description="the last position that was; the log has what the conversation led to after it"
    )
    caused: list[CausedShown]


class HistoryQuery(BaseModel):
    """Which page of a history."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Digits] = Field(
        default=50, ge=1, le=500, description="the most entries to answer"
    )
    after: str | None = Field(
        default=None, max_length=2000, description="from the Link of the page before"
    )
    sort: Order = Field(default=Order.POSITION, description="`-position` for the newest first")
    type: str | None = words(100)
    from_position: Position = 1
    to_position: Position = LAST

    def pages(self) -> Pages:
        """The page that is wanted."""
        return Pages(
            limit=self.limit,
            after=self.after,
            newest_first=self.sort is Order.NEWEST,
            type=self.type,
            first=self.from_position,
            last=self.to_position,
        )


class LogQuery(HistoryQuery):
    """Which page of the log."""

    actor: str | None = words(100)
    correlation_id: str | None = words(200)


@routes.get("/", responses=lists(EntryShown))
async def list_history(
    asking: Annotated[Asking, asks("list-history")], query: Annotated[LogQuery, Query()]
) -> Response:
    """Retrieve everything that happened, up to when the first page was asked for.

    A page may have fewer entries than it could: so much is looked through for each. The next one
    is in its Link all the same.
    """
    return await asking.history(
        query.pages(), actor=query.actor, correlation_id=query.correlation_id
    )


@routes.get("/events/{position}/why/", responses=shows(WhyShown))
async def explain_event(
    position: Annotated[int, Digits, Path(ge=1, le=LAST)],
    asking: Annotated[Asking, asks("explain-event")],
) -> Response:
    """Retrieve what caused the event at a position, and all that it caused."""
    return await asking.why(position)


@routes.get("/{resource}/{number}/", responses=lists(HistoryShown))
async def list_history_of(
    resource: Resource,
    number: PathNumber,
    asking: Annotated[Asking, asks("list-history-of")],
    query: Annotated[HistoryQuery, Query()],
) -> Response:
    """Retrieve what happened to one thing, also to one that is gone."""
    return await asking.history_of(KINDS[resource], number, query.pages())
