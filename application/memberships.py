"""Commands about memberships."""

from __future__ import annotations

from dataclasses import dataclass

from application.access import Permission
from application.command import Command
from application.fields import Body, Price, Text
from application.work import Result, Work, result_of
from domain.clients import Client
from domain.memberships import Membership
from domain.reservations import MembershipHeld
from domain.values import AccessLevel


class MembershipBody(Body):
    """A membership's documented columns."""

    access_level: AccessLevel | None = None
    description: Text | None = None
    price: Price


class MembershipChanges(MembershipBody, partial=True):
    """Some columns of a membership."""


@dataclass(frozen=True, slots=True)
class AddMembership(Command):
    """Put a membership on offer."""

    body: MembershipBody


@dataclass(frozen=True, slots=True)
class ChangeMembership(Command):
    """Change what is sold: all of it, or the fields named."""

    membership_id: int
    facts: dict[str, str | None]


@dataclass(frozen=True, slots=True)
class DeleteMembership(Command):
    """Take a membership off the offer."""

    membership_id: int


async def add_membership(command: AddMembership, work: Work) -> Result:
    """Memberships are the club's to keep."""
    work.must_reach_all(Permission.MEMBERSHIPS_KEEP)
    number = await work.new_number(Membership)
    return result_of(work.add(Membership.add(number, command.body.facts(), work.at)))


async def issued_like(membership_id: int, work: Work) -> Membership:
    """What a client holds who comes in at the terms of this one.

    Where clients share memberships that is this one. Else it is a new one at the same terms, and
    this one goes on being offered.
    """
    offered = await work.refer(Membership, membership_id, "membership_id")
    if (await work.rules()).shared_memberships:
        return offered
    return work.add(Membership.add(await work.new_number(Membership), offered.facts, work.at))


async def change_membership(command: ChangeMembership, work: Work) -> Result:
    """Memberships are the club's to keep."""
    work.must_reach_all(Permission.MEMBERSHIPS_KEEP)
    membership = await work.get(Membership, command.membership_id)
    work.must_match(membership)
    membership.change(command.facts, work.at)
    return result_of(membership)


async def delete_membership(command: DeleteMembership, work: Work) -> Result:
    """Refused while a client holds it.

    The read tables say where to look; a client may have gone, or to another membership, since.
    """
    work.must_reach_all(Permission.MEMBERSHIPS_KEEP)
    membership = await work.get(Membership, command.membership_id)
    work.must_match(membership)
    for number in await work.referring("clients on membership", command.membership_id):
        client = await work.find(Client, number)
        if client is not None and client.membership_id == command.membership_id:
            raise MembershipHeld(holder=client.id)
    membership.delete(work.at)
    return Result(None)
