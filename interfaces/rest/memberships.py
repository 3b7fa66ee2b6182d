"""Routes of memberships."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Response

from application.access import Permission
from application.memberships import (
    AddMembership,
    ChangeMembership,
    DeleteMembership,
    MembershipBody,
    MembershipChanges,
)
from application.ports.queries import View
from domain.memberships import Membership
from domain.values import AccessLevel
from interfaces.rest.asking import Asking, may
from interfaces.rest.documented import changes, creates, deletes, group, lists, shows
from interfaces.rest.lists import ListQuery, PathNumber, sorting
from projections.memberships import LISTING

routes = group("/memberships", "Memberships")


class MembershipShown(MembershipBody):
    """A membership."""

    id: int


class MembershipsQuery(ListQuery):
    """Which memberships."""

    access_level: AccessLevel | None = None
    sort: str | None = sorting(LISTING)


@routes.get("/", responses=lists(MembershipShown))
async def list_memberships(
    asking: Annotated[Asking, may(Permission.MEMBERSHIPS_LIST)],
    query: Annotated[MembershipsQuery, Query()],
) -> Response:
    """Retrieve the list of memberships."""
    return await asking.page(View.MEMBERSHIPS, query)


@routes.get("/{membership_id}/", responses=shows(MembershipShown))
async def read_membership(
    membership_id: PathNumber, asking: Annotated[Asking, may(Permission.MEMBERSHIPS_READ)]
) -> Response:
    """Retrieve the membership by ID."""
    return await asking.one(Membership, View.MEMBERSHIPS, membership_id)


@routes.post("/", status_code=201, responses=creates(MembershipShown))
async def add_membership(
    body: MembershipBody, asking: Annotated[Asking, may(Permission.MEMBERSHIPS_KEEP)]
) -> Response:
    """Create the membership."""
    return await asking.create(AddMembership(body), "/memberships/{id}/")


@routes.put("/{membership_id}/", responses=changes(MembershipShown))
async def replace_membership(
    membership_id: PathNumber,
    body: MembershipBody,
    asking: Annotated[Asking, may(Permission.MEMBERSHIPS_KEEP)],
) -> Response:
    """Complete update of the membership record."""
    return await asking.change(ChangeMembership(membership_id, body.facts()))


@routes.patch("/{membership_id}/", responses=changes(MembershipShown))
async def change_membership(
    membership_id: PathNumber,
    body: MembershipChanges,
    asking: Annotated[Asking, may(Permission.MEMBERSHIPS_KEEP)],
) -> Response:
    """Partial update of the membership record."""
    return await asking.change(ChangeMembership(membership_id, body.named()))


@routes.delete("/{membership_id}/", status_code=204, responses=deletes())
async def delete_membership(
    membership_id: PathNumber, asking: Annotated[Asking, may(Permission.MEMBERSHIPS_KEEP)]
) -> Response:
    """Delete the membership; not while a client holds it."""
    return await asking.delete(DeleteMembership(membership_id))
