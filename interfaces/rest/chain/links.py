"""Routes of links that open the overview of a chain in a browser."""

from __future__ import annotations

from typing import Annotated

import orjson
from fastapi import Query, Response
from pydantic import BaseModel, Field

from application.access import Permission, reaches_all
from application.fields import Id, Moment
from application.page_links import CHAIN_PATH, PARAMETER, PageLinkBody
from application.ports.queries import PageRequest
from interfaces.rest.asking import Asking
from interfaces.rest.chain.service import chain_of, of_chain, reads
from interfaces.rest.documented import creates, deletes, group, lists
from interfaces.rest.lists import ListQuery, PathNumber
from interfaces.rest.page_links import PageLinkShown
from interfaces.rest.problems import JSON

routes = group(f"{CHAIN_PATH}links", "Reports")


class ChainPageLinkMade(BaseModel):
    """A link, which is told once."""

    id: Id
    url: str = Field(description="what to open in the browser")
    expires_at: Moment


class LinksQuery(ListQuery):
    """Which links."""

    sort: str | None = Field(
        default=None,
        pattern="^-?(id|made_at|expires_at)$",
        description="a column; `-` for the greatest first",
    )


@routes.get("/", responses=of_chain(lists(PageLinkShown)))
async def list_chain_page_links(
    asking: Annotated[Asking, reads("list-chain-page-links")],
    query: Annotated[LinksQuery, Query()],
) -> Response:
    """Retrieve the caller's own links that are good."""
    links = chain_of(asking.request).links
    own = asking.caller.user_id
    wanted = PageRequest({}, query.order(), query.after, query.limit, owner=own)
    return await asking.page_of(links.page, links.total, wanted, counted=query.total)


@routes.post("/", status_code=201, responses=of_chain(creates(ChainPageLinkMade, secret=True)))
async def make_chain_page_link(
    asking: Annotated[Asking, reads("make-chain-page-link")],
    _: PageLinkBody | None = None,
) -> Response:
    """Make a link with which the caller opens the overview in a browser, for a day."""
    assert asking.caller.user_id is not None  # noqa: S101 - the door lets nobody else in
    made = await chain_of(asking.request).links.make(asking.caller.user_id)
    url = asking.public(f"{CHAIN_PATH}?{PARAMETER}={made.token}")
    shown = {"id": made.number, "url": url, "expires_at": made.expires_at}
    headers = {
        "Location": asking.public(f"{CHAIN_PATH}links/{made.number}/"),
        "Cache-Control": "no-store",
    }
    return Response(orjson.dumps(shown), 201, headers, JSON)


@routes.delete("/{page_link_id}/", status_code=204, responses=of_chain(deletes()))
async def revoke_chain_page_link(
    page_link_id: PathNumber, asking: Annotated[Asking, reads("revoke-chain-page-link")]
) -> Response:
    """Let a link open nothing any more; it may be another's for an ADMIN."""
    is_admin = reaches_all(asking.caller, Permission.PAGE_LINKS_REVOKE)
    of = None if is_admin else asking.caller.user_id
    await chain_of(asking.request).links.revoke(page_link_id, of)
    return Response(status_code=204)
