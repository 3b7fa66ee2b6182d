"""Routes of memberships."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Response

from application.fields import Id, SentBack
from application.memberships import MembershipBody, MembershipChanges
from domain.values import AccessLevel
from interfaces.rest.asking import Asking
from interfaces.rest.documented import changes, creates, deletes, group, lists, shows
from interfaces.rest.door import asks
from interfaces.rest.lists import ListQuery, PathNumber, sorting

routes = group("/memberships", "Memberships")


class MembershipShown(MembershipBody):
    """A membership."""

    id: int


class MembershipSentBack(MembershipBody):
    """A complete update of a membership, as a GET answered it."""

    id: SentBack[Id] = None


class MembershipsQuery(ListQuery):
    """Which memberships."""

    access_level: AccessLevel | None = None
    sort: str | None = sorting("list-memberships")


@routes.get("/", responses=lists(MembershipShown))
async def list_memberships(
    asking: Annotated[Asking, asks("list-memberships")], query: Annotated[MembershipsQuery, Query()]
) -> Response:
    """Retrieve the list of memberships."""
    return await asking.page(query)


class OffersQuery(ListQuery):
    """Which offers."""

    access_level: AccessLevel | None = None
    sort: str | None = sorting("list-offers")


@routes.get("/offers/", responses=lists(MembershipShown))
async def list_offers(
    asking: Annotated[Asking, asks("list-offers")], query: Annotated[OffersQuery, Query()]
) -> Response:
    """Retrieve the memberships that can be had."""
    return await asking.page(query)


@routes.get("/{membership_id}/", responses=shows(MembershipShown))
async def read_membership(
    membership_id: PathNumber, asking: Annotated[Asking, asks("read-membership")]
) -> Response:
    """Retrieve the membership by ID."""
    return await asking.one(membership_id)


@routes.post("/", status_code=201, responses=creates(MembershipShown))
async def add_membership(
    body: MembershipBody, asking: Annotated[Asking, asks("add-membership")]
) -> Response:
    """Create the membership."""
    return await asking.create(body, location="/memberships/{id}/")


@routes.put("/{membership_id}/", responses=changes(MembershipShown))
async def replace_membership(
    membership_id: PathNumber,
    body: MembershipSentBack,
    asking: Annotated[Asking, asks("replace-membership")],
) -> Response:
    """Complete update of the membership record."""
    return await asking.change(body, membership_id)


@routes.patch("/{membership_id}/", responses=changes(MembershipShown))
async def change_membership(
    membership_id: PathNumber,
    body: MembershipChanges,
    asking: Annotated[Asking, asks("change-membership")],
) -> Response:
    """Partial update of the membership record."""
    return await asking.change(body, membership_id)


@routes.delete("/{membership_id}/", status_code=204, responses=deletes())
async def delete_membership(
    membership_id: PathNumber, asking: Annotated[Asking, asks("delete-membership")]
) -> Response:
    """Delete the membership; not while a client holds it."""
    return await asking.delete(membership_id)
