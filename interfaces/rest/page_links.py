"""Routes of links that open the overview in a browser, which has no token of its own."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Response
from pydantic import BaseModel, Field

from application.fields import Id, Moment
from application.page_links import PATH, PageLinkBody
from interfaces.rest.asking import Asking
from interfaces.rest.documented import creates, deletes, group, lists
from interfaces.rest.door import asks
from interfaces.rest.lists import ListQuery, PathNumber, sorting

routes = group(f"{PATH}links", "Reports")


class PageLinkMade(BaseModel):
    """A link, which is told once."""

    id: Id
    url: str | None = Field(
        description="what to open in the browser; null where the request is repeated"
    )
    expires_at: Moment


class PageLinkShown(BaseModel):
    """A link that is good, without what it is made of."""

    id: Id
    page: str
    made_at: Moment
    expires_at: Moment


class PageLinksQuery(ListQuery):
    """Which links."""

    sort: str | None = sorting("list-page-links")


@routes.get("/", responses=lists(PageLinkShown))
async def list_page_links(
    asking: Annotated[Asking, asks("list-page-links")], query: Annotated[PageLinksQuery, Query()]
) -> Response:
    """Retrieve the caller's own links that are good."""
    return await asking.page(query, user_id=asking.caller.user_id)


@routes.post("/", status_code=201, responses=creates(PageLinkMade, secret=True))
async def make_page_link(
    asking: Annotated[Asking, asks("make-page-link")], body: PageLinkBody | None = None
) -> Response:
    """Make a link with which the caller opens the overview in a browser, for a day."""
    return await asking.create(body or PageLinkBody(), location=f"{PATH}links/{{id}}/", place="url")


@routes.delete("/{page_link_id}/", status_code=204, responses=deletes())
async def revoke_page_link(
    page_link_id: PathNumber, asking: Annotated[Asking, asks("revoke-page-link")]
) -> Response:
    """Let a link open nothing any more; it may be another's for an ADMIN."""
    return await asking.delete(page_link_id)
