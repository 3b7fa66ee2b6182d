"""Commands about clients."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any

from pydantic import Field, Strict

from application.absent import unknown
from application.access import Permission
from application.command import Command
from application.fields import Body, BodyMeasure, Day, Id, Line50, Line80, Line200, Phone
from application.work import Result, Work, result_of
from domain.admissions import Admission
from domain.clients import Client
from domain.memberships import Membership
from domain.refusals import Conflict, Forbidden
from domain.reservations import MembershipHeld, Reservation, UserHasClient
from domain.users import User
from domain.values import ClientStatus, Gender

NOBODY_GRANTS_THEMSELVES = ("user_id", "membership_id", "status")
"""What a client cannot change about itself."""

BEGINS_AS = frozenset({ClientStatus.ACTIVE, ClientStatus.UPCOMING})
"""How somebody may make a client of themselves."""


class ComesBack(Forbidden):
    """Who has been a client before is taken back by the club."""


class UserLeft(Conflict):
    """The user of this client was deleted: nobody can make it ACTIVE."""


class PersonBody(Body):
    """Of a client's documented columns, those about the person."""

    first_name: Line50
    last_name: Line80
    phone_number: Phone
    gender: Gender | None = None
    date_of_birth: Day
    weight_kg: BodyMeasure | None = None
    height_sm: BodyMeasure | None = None


class ClientBody(PersonBody):
    """A client's documented columns."""

    user_id: Id
    membership_id: Id = Field(
        description="this very one, which is then on offer no more, unless clients share them"
    )
    status: ClientStatus = Field(
        default=ClientStatus.ACTIVE,
        description="set by the club; a complete update that does not name it leaves it as it is",
    )

    def replacement(self) -> dict[str, Any]:
        """The facts of a complete update: all of them, but a status only where it is named."""
        facts = self.facts()
        return facts if "status" in self.model_fields_set else facts | {"status": None}


class ClientChanges(ClientBody, partial=True):
    """Some columns of a client."""


class GrantBody(Body):
    """Days for which the club lets a client in without a payment."""

    days: Annotated[int, Strict(), Field(ge=1, le=366)]
    reason: Line200 = Field(description="why; for staff to read")


@dataclass(frozen=True, slots=True)
class GrantDays(Command):
    """Let a client in for days that nobody pays for."""

    client_id: int
    body: GrantBody


@dataclass(frozen=True, slots=True)
class RegisterClient(Command):
    """Make a user a client, on a membership."""

    body: ClientBody


@dataclass(frozen=True, slots=True)
class ChangeClient(Command):
    """Change a client: all of it, or the fields named; a status of None stays as it is."""

    client_id: int
    facts: dict[str, Any]


@dataclass(frozen=True, slots=True)
class DeleteClient(Command):
    """Take a client off the books, with its trainings."""

    client_id: int


@dataclass(frozen=True, slots=True)
class DeactivateClientOf(Command):
    """Make the client of a user who left INACTIVE."""

    user_id: int


@dataclass(frozen=True, slots=True)
class AdmitClient(Command):
    """Let the client in for the time that a payment bought."""

    client_id: int
    payment_id: int
    paid_at: str


@dataclass(frozen=True, slots=True)
class WithdrawAdmission(Command):
    """Take away the time that a refunded payment had bought."""

    client_id: int
    payment_id: int


@dataclass(frozen=True, slots=True)
class LapseClient(Command):
    """Make a client whose time ended EXPIRED."""

    client_id: int


async def register_client(command: RegisterClient, work: Work) -> Result:
    """One client for each user, and one holder for each membership.

    Staff say where a client stands, without an end; others let themselves in provisionally.
    """
    body = command.body
    await work.look(
        User.stream(body.user_id),
        Membership.stream(body.membership_id),
        Reservation.stream(client_of(body.user_id)),
        Reservation.stream(holder_of(body.membership_id)),
    )
    everybody = work.reaches_all(Permission.CLIENTS_KEEP)
    if not everybody and body.user_id != work.caller.user_id:
        raise unknown(User, body.user_id, "user_id")
    if not everybody and body.status not in BEGINS_AS:
        raise Forbidden(field="status")
    await work.refer(User, body.user_id, "user_id")
    await work.refer(Membership, body.membership_id, "membership_id")
    if not everybody:
        await _refuse_return(body.user_id, work)
    return result_of(await take_in(body, work, provisionally=not everybody))


async def take_in(body: ClientBody, work: Work, *, provisionally: bool) -> Client:
    """A new client, who is the one of its user; `provisionally` until a payment is settled."""
    patience = (
        timedelta(hours=(await work.rules()).payment_patience_hours) if provisionally else None
    )
    number = await work.new_number(Client)
    client = work.add(Client.register(number, body.facts(), work.at, patience=patience))
    await work.reserve(client_of(body.user_id), client, UserHasClient)
    await _hold(client, body.membership_id, work)
    return client


async def _refuse_return(user_id: int, work: Work) -> None:
    reservation = await work.find(Reservation, client_of(user_id))
    if reservation is not None and reservation.holder is None:
        raise ComesBack(field="user_id")


async def change_client(command: ChangeClient, work: Work) -> Result:
    """The user, the membership and the status are the club's to change."""
    client = await work.get(Client, command.client_id)
    work.allow(Permission.CLIENTS_KEEP, client, owner=client.user_id)
    work.must_match(client)
    facts = {name: fact for name, fact in command.facts.items() if (name, fact) != ("status", None)}
    decides = work.reaches_all(Permission.CLIENTS_DECIDE)
    for name in NOBODY_GRANTS_THEMSELVES:
        if name in facts and facts[name] != client.facts[name] and not decides:
            raise Forbidden(field=name)
    await _transfer(client, facts.pop("user_id", client.user_id), work)
    await _change_membership(client, facts.pop("membership_id", client.membership_id), work)
    status = ClientStatus(facts.pop("status", client.status))
    client.change_details(facts, work.at)
    if status is ClientStatus.ACTIVE and status is not client.status:
        await _refuse_who_left(client, work)
    client.change_status(status, work.at)
    return result_of(client)


async def _refuse_who_left(client: Client, work: Work) -> None:
    if await work.find(User, client.user_id) is None:
        raise UserLeft(field="status")


async def _transfer(client: Client, user_id: int, work: Work) -> None:
    if user_id == client.user_id:
        return
    await work.refer(User, user_id, "user_id")
    await work.reserve(client_of(user_id), client, UserHasClient)
    await work.release(client_of(client.user_id), client)
    client.transfer(user_id, work.at)


async def _change_membership(client: Client, membership_id: int, work: Work) -> None:
    if membership_id == client.membership_id:
        return
    await work.refer(Membership, membership_id, "membership_id")
    await _hold(client, membership_id, work)
    await _let_go(client, work)
    client.change_membership(membership_id, work.at)


async def _hold(client: Client, membership_id: int, work: Work) -> None:
    name = holder_of(membership_id)
    held = await work.find(Reservation, name)
    if held is not None and (await work.rules()).shared_memberships:
        held.join(client.id, work.at)
        return
    taken = held is not None and held.holder not in {None, client.id}
    if taken and not work.reaches_all(STAFF):
        raise MembershipHeld(field="membership_id", holder="somebody else")
    await work.reserve(name, client, MembershipHeld)


STAFF = Permission.CLIENTS_DECIDE
"""Whoever may do this is told who holds a membership."""


async def _let_go(client: Client, work: Work) -> None:
    """A shared membership stays reserved as long as anybody holds it.

    So it has one holder at most from the day on which it is not to be shared any more.
    """
    reservation = await work.find(Reservation, holder_of(client.membership_id))
    if reservation is None:
        return
    if (await work.rules()).shared_memberships:
        for number in await work.referring("clients on membership", client.membership_id):
            other = await work.find(Client, number)
            if other is None or other is client:
                continue
            if other.membership_id == client.membership_id:
                reservation.pass_on(client.id, other.id, work.at)
                return
    reservation.release(client.id, work.at)


async def delete_client(command: DeleteClient, work: Work) -> Result:
    """The user and the membership are free again; trainings and plans follow (policies)."""
    client = await work.get(Client, command.client_id)
    work.allow(Permission.CLIENTS_KEEP, client, owner=client.user_id)
    work.must_match(client)
    await work.release(client_of(client.user_id), client)
    await _let_go(client, work)
    client.delete(work.at)
    return Result(None)


async def deactivate_client_of(command: DeactivateClientOf, work: Work) -> Result:
    """Nothing to do for a user who is no client."""
    reservation = await work.find(Reservation, client_of(command.user_id))
    if reservation is None or reservation.holder is None:
        return Result(None)
    client = await work.find(Client, reservation.holder.removeprefix("client-"))
    if client is not None:
        client.change_status(ClientStatus.INACTIVE, work.at)
    return Result(None)


async def admit_client(command: AdmitClient, work: Work) -> Result:
    """A payment outlives its client: nobody is let in where the client is gone.

    The time counts for the client of a user who left, too, but does not bring the client back.
    """
    client = await work.find(Client, command.client_id)
    if client is not None:
        welcome = await work.find(User, client.user_id) is not None
        days = (await work.rules()).paid_days
        bought = Admission(command.payment_id, command.paid_at, days)
        client.admit(bought, work.at, welcome=welcome)
    return Result(None)


async def grant_days(command: GrantDays, work: Work) -> Result:
    """They count as if they were bought now; answered with until when the client is let in."""
    work.must_reach_all(Permission.CLIENTS_GRANT)
    client = await work.get(Client, command.client_id)
    welcome = await work.find(User, client.user_id) is not None
    client.grant(command.body.days, command.body.reason, work.at, welcome=welcome)
    return Result(client.admission(), client.version)


async def withdraw_admission(command: WithdrawAdmission, work: Work) -> Result:
    """A payment outlives its client: nothing is taken away where the client is gone."""
    client = await work.find(Client, command.client_id)
    if client is not None:
        client.withdraw_admission(command.payment_id, work.at)
    return Result(None)


async def lapse_client(command: LapseClient, work: Work) -> Result:
    """Refused while there is time left."""
    client = await work.get(Client, command.client_id)
    client.lapse(work.at)
    return Result(None)


async def owner_of(client_id: int, work: Work) -> int | None:
    """The number of the user whose client this is; None where the client is gone."""
    client = await work.find(Client, client_id)
    return None if client is None else client.user_id


def client_of(user_id: int) -> str:
    """The reservation that holds which client a user is."""
    return f"client-of-user-{user_id}"


def holder_of(membership_id: int) -> str:
    """The reservation that holds to which client a membership is issued."""
    return f"holder-of-membership-{membership_id}"
